/** Which request methods this wire carries. An unknown one may change how a message is framed, so it is not forwarded. */

/** IANA's registry, as far as HTTP servers meet it; CONNECT, TRACE and PRI are decided elsewhere. */
const known: ReadonlySet<string> = new Set(
  (
    "GET POST PUT DELETE HEAD OPTIONS PATCH QUERY ACL BIND CHECKIN CHECKOUT COPY LABEL LINK LOCK M-SEARCH MERGE MKACTIVITY " +
    "MKCALENDAR MKCOL MKREDIRECTREF MKWORKSPACE MOVE NOTIFY ORDERPATCH PROPFIND PROPPATCH PURGE REBIND REPORT SEARCH SOURCE " +
    "SUBSCRIBE UNBIND UNCHECKOUT UNLINK UNLOCK UNSUBSCRIBE UPDATE UPDATEREDIRECTREF VERSION-CONTROL"
  ).split(" "),
);

/** RFC 9110 §9.2.2: sending one twice has the effect of sending it once. */
const idempotent: ReadonlySet<string> = new Set([
  "GET",
  "HEAD",
  "OPTIONS",
  "PUT",
  "DELETE",
  "TRACE",
  "QUERY",
  "PROPFIND",
  "REPORT",
  "SEARCH",
]);

/** Methods are case-sensitive (RFC 9110 §9.1): "get" is not known. */
export function isKnownMethod(method: string): boolean {
  return known.has(method);
}

export function isIdempotent(method: string): boolean {
  return idempotent.has(method);
}
