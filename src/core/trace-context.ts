// W3C Trace Context, level 1: the header by which a request says which trace it belongs to.

export interface TraceParent {
  /** 32 lower-case hex digits. */
  readonly traceId: string;
  /** 16 lower-case hex digits. */
  readonly spanId: string;
  readonly sampled: boolean;
}

const form = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/** Undefined where the value is not well-formed: then it says nothing (section 3.2.2). */
export function parseTraceParent(value: string): TraceParent | undefined {
  const [, version, traceId = "", spanId = "", flags = "", more] = form.exec(value) ?? [];
  if (version === undefined || version === "ff" || /^0*$/.test(traceId) || /^0*$/.test(spanId)) return undefined;
  // Only versions to come may say more.
  if (version === "00" && more !== undefined) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}
