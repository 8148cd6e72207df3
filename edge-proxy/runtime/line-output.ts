/** Lines to standard output and error, which are pipes or files that may fail while the proxy serves. */
import type { Writable } from 'node:stream';

/**
 * Writes lines to a stream; what cannot be written is lost. A log whose reader has ended, or whose disk is full, must not
 * end the proxy: runtimes throw, or emit an unhandled error.
 * @param stream called at the first line: making the stream costs
 */
export function lineOutput(stream: () => Writable): (line: string) => void {
  let out: Writable | undefined;
  return (line) => {
    try {
      out ??= stream().on('error', () => {});
      out.write(`${line}\n`);
    } catch {
      // Bun throws where others emit.
    }
  };
}
