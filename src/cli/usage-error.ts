/** The command was not understood: exit code 2. What was understood and then failed is a `MeshError`, exit code 1. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}
