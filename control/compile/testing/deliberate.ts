/** The cases that docs/differences-from-istio.md lists, which differ on purpose. */
import { readFileSync } from 'node:fs';

const PAGE = new URL('../../../docs/differences-from-istio.md', import.meta.url);

export function deliberateDifferences(): ReadonlySet<string> {
  return new Set([...readFileSync(PAGE, 'utf8').matchAll(/^- `([^`]+)`:/gm)].map(([, name]) => name!));
}

/** Names of Istio's test functions; the others are cases of istiod. */
export const isFragment = (name: string): boolean => name.startsWith('Test');
