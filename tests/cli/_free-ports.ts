/** Flags of a sidecar beside others: the system chooses every port. */
export const freePorts: readonly string[] = ["outbound", "inbound", "inbound-h2", "admin", "health"].flatMap((door) => [
  `--${door}`,
  "127.0.0.1:0",
]);
