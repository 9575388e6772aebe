/**
 * `CallControl` through `node:https`, which Bun, Deno and Node all have: joins are tested over real TLS without our own wire in
 * between. Every call has a connection of its own.
 */
import type { IncomingMessage } from "node:http";
import { request as httpsRequest, type RequestOptions } from "node:https";
import { MeshError } from "../../src/errors.ts";
import type { ControlCall, ControlReply } from "../../src/identity/join.ts";
import { clientOptionsOf } from "../../src/runtime/node-tls.ts";

const timeoutMs = 10_000;
// A certificate chain has a few KB; this is for whatever else answers at the address.
const maxReplyBytes = 262_144;

/** @throws {MeshError} ERR_CONNECT_FAILED, ERR_CONNECT_TIMEOUT, ERR_UPSTREAM_IDENTITY or ERR_UPSTREAM_PROTOCOL */
export function callControl(call: ControlCall): Promise<ControlReply> {
  const { promise, resolve, reject } = Promise.withResolvers<ControlReply>();
  const { host } = new URL(call.url);
  const request = httpsRequest(
    call.url,
    optionsOf(call),
    (response) => void replyOf(response, host).then(resolve, reject),
  );
  const timer = setTimeout(
    () =>
      request.destroy(
        new MeshError("ERR_CONNECT_TIMEOUT", `The control plane at ${host} did not answer within ${timeoutMs} ms`),
      ),
    timeoutMs,
  );
  request.on("error", (error) => reject(asMeshError(error, host)));
  request.on("close", () => clearTimeout(timer));
  request.end(call.body ?? undefined);
  return promise;
}

function optionsOf(call: ControlCall): RequestOptions {
  const body =
    call.body === null
      ? {}
      : { "content-type": "application/json", "content-length": String(Buffer.byteLength(call.body)) };
  const common: RequestOptions = {
    method: call.method,
    agent: false,
    headers: { accept: "application/json", connection: "close", ...body },
  };
  // Verifies nothing: the caller checks what it gets by its fingerprint, and sends nothing worth having.
  if (call.tls === null) return { ...common, rejectUnauthorized: false, minVersion: "TLSv1.3" };
  const { verifyPeer } = call.tls;
  return {
    ...common,
    ...clientOptionsOf(call.tls),
    // Here it is asked before the request, and the token in it, is sent.
    ...(verifyPeer !== undefined && {
      checkServerIdentity: (_: string, certificate: { readonly raw: Uint8Array }) => {
        const refusal = verifyPeer([certificate.raw]);
        return refusal === null
          ? undefined
          : new MeshError("ERR_UPSTREAM_IDENTITY", `The control plane is refused: ${refusal}`);
      },
    }),
  };
}

async function replyOf(response: IncomingMessage, host: string): Promise<ControlReply> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const chunk of response as AsyncIterable<Uint8Array>) {
      length += chunk.length;
      if (length > maxReplyBytes)
        throw new MeshError(
          "ERR_UPSTREAM_PROTOCOL",
          `The control plane at ${host} sent more than ${maxReplyBytes} bytes`,
        );
      chunks.push(chunk);
    }
  } catch (error) {
    throw asMeshError(error, host);
  }
  return { status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString("utf8") };
}

function asMeshError(error: unknown, host: string): MeshError {
  if (error instanceof MeshError) return error;
  return new MeshError(
    "ERR_CONNECT_FAILED",
    `The control plane at ${host} cannot be reached: ${error instanceof Error ? error.message : String(error)}`,
    {
      cause: error,
      advice: "Is it running, and is it the one that made the token or the context? Its address is in its ready line.",
    },
  );
}
