/** Decompression with the one means that every runtime has: the Compression Streams of the web platform. */

/** Node gives the reason as the cause of an error without a message. */
function reasonOf(error: unknown): string {
  const { message, cause, code } = error as Error & { code?: unknown };
  return message || (cause instanceof Error && cause.message) || String(code ?? 'not a gzip member');
}

/**
 * Decompresses one gzip member (RFC 1952).
 * @param maxBytes most that it may hold: a few bytes can expand to gigabytes
 * @throws Error when it is larger, damaged or cut short
 */
export async function gunzip(bytes: Uint8Array, maxBytes: number): Promise<Uint8Array> {
  const stream = new DecompressionStream('gzip');
  const writer = stream.writable.getWriter();
  // Failures come out of the readable side.
  writer.write(new Uint8Array(bytes)).catch(() => {});
  writer.close().catch(() => {});
  const reader = stream.readable.getReader();
  const parts: Uint8Array[] = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read().catch((error: unknown) => {
      throw new Error(`the answer cannot be decompressed: ${reasonOf(error)}`);
    });
    if (done) break;
    size += value.length;
    if (size > maxBytes) {
      await reader.cancel().catch(() => {});
      throw new Error(`the answer is larger than ${maxBytes} bytes`);
    }
    parts.push(value);
  }
  const out = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
