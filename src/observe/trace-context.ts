/**
 * W3C Trace Context, level 1: `traceparent` read and written, without a regular expression.
 *
 * @see https://www.w3.org/TR/trace-context/#traceparent-header
 */

export interface TraceParent {
  /** 32 lower-case hex digits, not all zero. */
  readonly traceId: string;
  /** 16 lower-case hex digits, not all zero: the caller's span. */
  readonly parentId: string;
  readonly isSampled: boolean;
}

/** null if it is not valid, which by the specification means: begin a new trace and drop `tracestate`. */
export function parseTraceParent(text: string): TraceParent | null {
  // version "-" trace-id "-" parent-id "-" flags; a later version may have more after another "-".
  if (text.length < 55) return null;
  if (text.charCodeAt(2) !== dash || text.charCodeAt(35) !== dash || text.charCodeAt(52) !== dash) return null;
  if (!isHex(text, 0, 2) || !isHex(text, 3, 35) || !isHex(text, 36, 52) || !isHex(text, 53, 55)) return null;
  if (text.startsWith("ff")) return null;
  if (text.length > 55 && (text.startsWith("00") || text.charCodeAt(55) !== dash)) return null;
  if (isZero(text, 3, 35) || isZero(text, 36, 52)) return null;
  return {
    traceId: text.slice(3, 35),
    parentId: text.slice(36, 52),
    isSampled: (hexDigit(text.charCodeAt(54)) & 1) === 1,
  };
}

export function formatTraceParent(traceId: string, spanId: string, isSampled: boolean): string {
  return `00-${traceId}-${spanId}-${isSampled ? "01" : "00"}`;
}

const dash = 0x2d;

/** -1 if it is none; upper case is none: the header is lower case by its grammar. */
function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  return code >= 0x61 && code <= 0x66 ? code - 0x57 : -1;
}

function isHex(text: string, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (hexDigit(text.charCodeAt(i)) < 0) return false;
  return true;
}

function isZero(text: string, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (text.charCodeAt(i) !== 0x30) return false;
  return true;
}
