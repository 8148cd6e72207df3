/** Compression of metrics for scrapers that accept it, with the one means that every runtime has. */

/** Whether an Accept-Encoding allows gzip (RFC 9110 section 12.5.3); absent: it does not. */
export function acceptsGzip(accepted: string | undefined): boolean {
  const weights = new Map<string, number>();
  for (const item of accepted?.split(',') ?? []) {
    const [coding = '', weight] = item.toLowerCase().split(';', 2);
    const q = /^\s*q=([01](?:\.\d{0,3})?)\s*$/.exec(weight ?? 'q=1')?.[1];
    weights.set(coding.trim(), Number(q ?? 0));
  }
  return (weights.get('gzip') ?? weights.get('x-gzip') ?? weights.get('*') ?? 0) > 0;
}

/** One gzip member (RFC 1952). */
export async function gzip(text: string): Promise<Uint8Array> {
  const compressed = new Blob([text]).stream().pipeThrough(new CompressionStream('gzip'));
  return new Uint8Array(await new Response(compressed).arrayBuffer());
}
