/**
 * What an application might take a path for. Proxies that decide on one reading and forward another have been walked around
 * for years (Envoy CVE-2019-9901, CVE-2021-29492, Istio CVE-2021-31920), and which reading the application will choose is not
 * ours to know: so a rule is asked about every one.
 */

// Characters that no server in use gives a second meaning. With only these, a path reads one way.
const plainBytes = plainTable();

// Deeper encodings than twice are not undone by any server we know; what is still encoded then is refused as ambiguous.
const maxDecodings = 2;

/**
 * Every reading of a raw path, the received spelling first: percent-decoded or not (twice), `\` as `/`, with and without
 * `;parameters`, with `//` merged or not, with `.` and `..` resolved or not. `null` if it cannot be read at all: malformed or
 * over-deep encoding, not UTF-8, control characters.
 */
export function canonicalPaths(path: string): readonly string[] | null {
  if (readsOneWay(path)) return [path];
  const decoded = decodings(path);
  if (decoded === null) return null;
  const readings = new Set<string>([path]);
  for (const text of decoded) {
    for (const separated of text.includes("\\") ? [text, text.replaceAll("\\", "/")] : [text]) {
      for (const bare of separated.includes(";") ? [separated, withoutParameters(separated)] : [separated]) {
        readings.add(bare);
        readings.add(resolveDots(bare));
        const merged = mergeSlashes(bare);
        readings.add(merged);
        readings.add(resolveDots(merged));
        // "/x//../y": whether the empty segment is what ".." takes away depends on which step comes first.
        readings.add(mergeSlashes(resolveDots(bare)));
      }
    }
  }
  return [...readings];
}

/** Whether a raw path can only be taken for itself; true for nearly all of them, and without allocating. */
export function readsOneWay(path: string): boolean {
  for (let i = 0; i < path.length; i++) {
    const code = path.charCodeAt(i);
    if (code >= 128 || plainBytes[code] === 0) return false;
    // "//", "/." and their like.
    if (code === 0x2f && i + 1 < path.length) {
      const next = path.charCodeAt(i + 1);
      if (next === 0x2f || next === 0x2e) return false;
    }
  }
  return path.startsWith("/");
}

function decodings(path: string): string[] | null {
  const texts = [path];
  let text = path;
  for (let round = 0; text.includes("%"); round++) {
    if (round === maxDecodings) return null;
    try {
      text = decodeURIComponent(text);
    } catch {
      // Malformed, overlong or not UTF-8. A lone "%" that only appears by decoding ("100%25") is an ordinary character.
      if (round === 0) return null;
      break;
    }
    texts.push(text);
  }
  return texts.some(hasControls) || hasNonAscii(path) ? null : texts;
}

function hasControls(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x20 || code === 0x7f) return true;
  }
  return false;
}

function hasNonAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) >= 0x80) return true;
  return false;
}

/** Matrix parameters as servlet containers read them: up to the next slash. */
function withoutParameters(path: string): string {
  return path
    .split("/")
    .map((segment) => segment.slice(0, segment.includes(";") ? segment.indexOf(";") : undefined))
    .join("/");
}

function mergeSlashes(path: string): string {
  let merged = "";
  for (let i = 0; i < path.length; i++) if (path[i] !== "/" || path[i - 1] !== "/") merged += path[i];
  return merged;
}

/** RFC 3986 §5.2.4. */
function resolveDots(path: string): string {
  if (!path.includes("/.")) return path;
  const segments = path.split("/");
  const last = segments[segments.length - 1];
  const kept: string[] = [];
  for (const segment of segments.slice(1)) {
    if (segment === "..") kept.pop();
    else if (segment !== ".") kept.push(segment);
  }
  if (last === "." || last === "..") kept.push("");
  return `/${kept.join("/")}`;
}

function plainTable(): Uint8Array {
  const table = new Uint8Array(128);
  for (let code = 0x21; code < 0x7f; code++) table[code] = 1;
  for (const character of '%\\;#?"<>^`{|}') table[character.charCodeAt(0)] = 0;
  return table;
}
