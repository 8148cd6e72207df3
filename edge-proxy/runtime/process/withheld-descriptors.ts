/** Inherited descriptors that a child process must not have. */
import process from 'node:process';
import { handedDescriptors } from './handed-sockets.ts';

/** Node and Bun close in a child what it is not given; in a child of Deno inherited descriptors stay open. */
const leavesDescriptorsOpen = 'deno' in process.versions;

/** `stdio` beyond the standard streams, with a pipe in the place of each descriptor: nothing else replaces one. */
export function streamsBeyond(descriptors: readonly number[]): ('pipe' | 'ignore')[] {
  if (!leavesDescriptorsOpen) return [];
  const withheld = [...descriptors, ...handedDescriptors];
  const count = Math.max(0, ...withheld.map((descriptor) => descriptor - 2));
  return Array.from({ length: count }, (_, index) => (withheld.includes(index + 3) ? 'pipe' : 'ignore'));
}
