/** Node 24.20 or newer in that line. */
import process from 'node:process';
import { readDirectly, readNextInto } from './node-reads.ts';
import type { Runtime } from './runtime.ts';
import { socketsRuntime } from './sockets-runtime.ts';
import { handleWriter } from './writes/handle-writer.ts';

export function nodeRuntime(): Runtime {
  // nodejs/node#65579: 24.21.0 loses the intermediates of a client's chain, so no mTLS client could be verified.
  if (process.versions.node === '24.21.0')
    throw new Error('tulle: Node 24.21.0 cannot verify client certificate chains; use 24.20.0, or another runtime');
  return socketsRuntime('node', { readDirectly, readNextInto, directWriter: handleWriter });
}
