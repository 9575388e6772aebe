/** `KIND/NAME` on the command line; kinds in whatever case, as kubectl takes them. */
import { closest } from "../control/suggest.ts";
import { UsageError } from "./usage-error.ts";

const kinds = ["Service", "HTTPRoute", "BackendPolicy", "AuthorizationPolicy"] as const;

export interface DocumentReference {
  readonly kind: string;
  readonly name: string | null;
}

/** @throws {UsageError} if there is no such kind */
export function readDocumentReference(text: string): DocumentReference {
  const slash = text.indexOf("/");
  const written = slash < 0 ? text : text.slice(0, slash);
  const name = slash < 0 ? null : text.slice(slash + 1);
  const wanted = written.toLowerCase();
  const kind = kinds.find((one) => one.toLowerCase() === wanted || `${one.toLowerCase()}s` === wanted);
  if (kind === undefined) {
    const meant = closest(written, kinds);
    throw new UsageError(
      `there is no kind "${written}": expected ${meant === null ? kinds.join(", ") : `${kinds.join(", ")} (did you mean ${meant}?)`}`,
    );
  }
  if (name === "") throw new UsageError(`which ${kind}? Expected ${kind}/NAME`);
  return { kind, name };
}
