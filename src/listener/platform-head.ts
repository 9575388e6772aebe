/** The head of a platform `Request` (edge and in-process), read the same way as one that came over our wire. */
import type { RequestHead } from "../exchange.ts";

export class PlatformHead implements RequestHead {
  readonly method: string;
  readonly target: string;
  readonly path: string;
  readonly query: string;
  readonly authority: string;
  readonly #headers: Headers;

  constructor(request: Request) {
    const url = request.url;
    // The URL was normalised by the platform: scheme, authority and path are where RFC 3986 puts them, no fragment is sent.
    const authorityAt = url.indexOf("//") + 2;
    let pathAt = url.indexOf("/", authorityAt);
    if (pathAt < 0) pathAt = url.length;
    const hashAt = url.indexOf("#", pathAt);
    this.method = request.method;
    this.target = (hashAt < 0 ? url.slice(pathAt) : url.slice(pathAt, hashAt)) || "/";
    const queryAt = this.target.indexOf("?");
    this.path = queryAt < 0 ? this.target : this.target.slice(0, queryAt);
    this.query = queryAt < 0 ? "" : this.target.slice(queryAt + 1);
    const authority = url.slice(authorityAt, pathAt);
    this.authority = authority.slice(authority.lastIndexOf("@") + 1);
    this.#headers = request.headers;
  }

  get(name: string): string | null {
    return this.#headers.get(name);
  }

  getAll(name: string): readonly string[] {
    if (name === "set-cookie") return this.#headers.getSetCookie();
    const value = this.#headers.get(name);
    // Platform headers have forgotten where one line ended: the joined value is the one value there is.
    return value === null ? [] : [value];
  }

  names(): readonly string[] {
    return [...this.#headers.keys()];
  }
}
