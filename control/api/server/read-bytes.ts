/** The bytes of a request's body: bounded in size, time and memory. Call it only after the caller was authorized. */
import type { Context } from 'hono';
import type { ApiEnv, Caller } from '../caller.ts';
import { ApiError, tooLarge } from '../resources/status.ts';
import { networkOf } from './connection-limits.ts';

export interface BodyLimits {
  readonly bytes: number;
  /** From the first read to the last byte, and as long again for memory to read it to; milliseconds. */
  readonly timeoutMs: number;
}

/** @throws ApiError 408 too slow, 413 too long, 503 no memory to read it to */
export async function readBytes(c: Context<ApiEnv>, { bytes: limit, timeoutMs }: BodyLimits): Promise<Uint8Array> {
  const declared = c.req.header('content-length');
  const size = declared === undefined ? limit : Number(declared);
  if (size > limit) throw tooLarge(limit);
  const { body } = c.req.raw;
  if (!body) return new Uint8Array();
  const release = await c.env?.bodies?.reserve(shareOf(c.get('caller'), c.env?.remoteAddress), size, timeoutMs);
  const reader = body.getReader();
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    void reader.cancel().catch(() => {});
  }, timeoutMs);
  try {
    const chunks = await readAll(reader, limit);
    if (late) throw new ApiError(408, 'Timeout', `the body of the request did not arrive within ${timeoutMs} ms`);
    return Buffer.concat(chunks);
  } finally {
    clearTimeout(timer);
    release?.();
  }
}

/** Stops at the first chunk over the limit: the rest is never buffered. */
async function readAll(reader: ReadableStreamDefaultReader<Uint8Array>, limit: number): Promise<Uint8Array[]> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return chunks;
    size += value.byteLength;
    if (size > limit) {
      void reader.cancel().catch(() => {});
      throw tooLarge(limit);
    }
    chunks.push(value);
  }
}

/** Callers that share memory: the replicas of a workload, the anonymous ones of one network. */
export function shareOf(caller: Caller | undefined, remoteAddress = ''): string {
  if (caller?.kind === 'workload') return caller.spiffeId;
  return caller?.kind === 'user' ? `user ${caller.name}` : `anonymous ${networkOf(remoteAddress)}`;
}
