/** Of this package; kept equal to package.json and deno.json by `scripts/version.ts`. */
export const version = "0.1.0";
