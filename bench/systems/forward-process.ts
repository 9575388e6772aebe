/** `forward-process.ts inbound|outbound TARGET_PORT SVID_DIR [SERVER_NAME]`: a connection for a connection, bytes as they come. */
import { readFileSync } from "node:fs";
import {
  connect as connectPlain,
  createServer as createPlain,
  type AddressInfo,
  type Server,
  type Socket,
} from "node:net";
import { connect as connectTls, createServer as createTls } from "node:tls";

const [direction, target, svidDir, servername] = process.argv.slice(2);
const port = Number(target);
const credentials = {
  cert: readFileSync(`${svidDir}/svid.pem`),
  key: readFileSync(`${svidDir}/svid_key.pem`),
  ca: readFileSync(`${svidDir}/bundle.pem`),
  minVersion: "TLSv1.3",
  rejectUnauthorized: true,
} as const;

const server: Server =
  direction === "inbound"
    ? createTls({ ...credentials, requestCert: true }, (socket) => join(socket, connectPlain(port, "127.0.0.1")))
    : createPlain((socket) =>
        join(socket, connectTls({ ...credentials, port, host: "127.0.0.1", servername: servername! })),
      );

server.listen(0, "127.0.0.1", () => {
  process.stdout.write(`${JSON.stringify({ event: "ready", port: (server.address() as AddressInfo).port })}\n`);
});
process.once("SIGTERM", () => process.exit(0));

function join(a: Socket, b: Socket): void {
  carry(a, b);
  carry(b, a);
}

function carry(from: Socket, to: Socket): void {
  from.setNoDelay(true);
  from.on("data", (chunk) => {
    if (!to.write(chunk)) from.pause();
  });
  to.on("drain", () => from.resume());
  from.on("end", () => to.end());
  from.on("error", () => to.destroy());
  from.on("close", () => to.destroy());
}
