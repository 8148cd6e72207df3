import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { strictJson } from '../../envoy-api/strict-json.ts';
import type { Origin } from '../output/produced.ts';
import { type ConfigPatch, type EnvoyFilter, MESSAGES } from './config-patch.ts';
import { filtersNear, patchesFor } from './match-proxy.ts';
import { listOf, matchesCluster, matchesConfiguration, matchesRoute, matchesVirtualHost } from './match-resource.ts';
import type { Fields } from './merge.ts';
import { addedBy, inPhases, patchedResource } from './phases.ts';

const FOLDER = fileURLToPath(new URL('../../../../shared/reference/envoyfilter/', import.meta.url));
const isHere = existsSync(FOLDER);
if (!isHere) console.log(`skipped: ${FOLDER} is absent`);
const read = <T>(file: string): T[] => (isHere ? (JSON.parse(readFileSync(FOLDER + file, 'utf8')) as T[]) : []);

interface MatchCase {
  id: string;
  match: ConfigPatch['match'];
  expected: boolean;
  cluster?: Fields;
  host?: string;
  virtualHost?: Fields;
  routeConfiguration?: Fields;
  patchContext?: 'SIDECAR_INBOUND' | 'SIDECAR_OUTBOUND' | 'GATEWAY';
  portMap?: Record<string, Record<string, unknown>>;
}

describe.skipIf(!isHere)("Istio's matches of EnvoyFilter", () => {
  it.each(read<MatchCase>('match-cases.json'))('$id', ({ match, expected, ...given }) => {
    expect(matched(match, given)).toBe(expected);
  });
});

function matched(match: ConfigPatch['match'], given: Omit<MatchCase, 'match' | 'expected'>): boolean {
  if (given.cluster) return matchesCluster({ match }, given.cluster, given.host ? [given.host] : []);
  if (given.virtualHost) return matchesVirtualHost({ match }, given.virtualHost);
  if (given.routeConfiguration) {
    const target = /^http\.(\d+)$/.exec(String(given.routeConfiguration['name']))?.[1];
    const ports = target && given.portMap?.[target] ? Object.keys(given.portMap[target]).map(Number) : undefined;
    return matchesConfiguration({ match }, given.routeConfiguration, { context: given.patchContext!, ports });
  }
  return matchesRoute({ match }, routeOf(given.id));
}

/** The routes of Istio's own test (Test_routeMatch), which the cases do not hold. */
const routeOf = (id: string): Fields =>
  id.includes('mismatch by action') ? { redirect: {} } : { name: 'scooby', route: {} };

interface PatchCase {
  id: string;
  context: 'SIDECAR_INBOUND' | 'SIDECAR_OUTBOUND' | 'GATEWAY';
  proxy: { namespace: string; metadata: Record<string, string>; istioVersion?: string };
  serviceHost?: string;
  skipAdds?: boolean;
  envoyFilters: EnvoyFilter[];
  input: Part;
  expected: Part;
}
interface Part {
  listeners?: Fields[];
  clusters?: Fields[];
  routeConfiguration?: Fields;
}

const SIDES = { SIDECAR_INBOUND: 'inbound', SIDECAR_OUTBOUND: 'outbound', GATEWAY: 'gateway' } as const;

describe.skipIf(!isHere)("Istio's patches of EnvoyFilter", () => {
  it.each(read<PatchCase>('patch-cases.json'))('$id', (given) => {
    const { namespace, metadata, istioVersion = '' } = given.proxy;
    const all = filtersNear({ all: given.envoyFilters, namespace, rootNamespace: 'istio-system' });
    const patches = inPhases(all.flatMap((filter) => patchesFor(filter, { metadata, istioVersion })));
    const origin: Origin = { side: SIDES[given.context] };
    const apply = (type: 'listeners' | 'clusters' | 'routes', items: readonly Fields[]): readonly Fields[] => {
      const hosts = given.serviceHost ? [given.serviceHost] : [];
      const changed = items.flatMap((item) => listOf([patchedBy(patches, type, item, origin, hosts)]));
      const isAdded = type === 'listeners' && !given.skipAdds;
      return isAdded
        ? [...changed, ...patches.flatMap((patch) => listOf([addedBy(patch, type, origin.side)]))]
        : changed;
    };
    const { listeners, clusters, routeConfiguration } = given.input;
    if (listeners)
      expect(canonical('LISTENER', apply('listeners', listeners))).toEqual(
        canonical('LISTENER', given.expected.listeners!),
      );
    if (clusters)
      expect(canonical('CLUSTER', apply('clusters', clusters))).toEqual(canonical('CLUSTER', given.expected.clusters!));
    if (routeConfiguration) {
      const [out] = apply('routes', [routeConfiguration]);
      expect(canonical('ROUTE_CONFIGURATION', [out!])).toEqual(
        canonical('ROUTE_CONFIGURATION', [given.expected.routeConfiguration!]),
      );
    }
  });
});

function patchedBy(
  patches: readonly ConfigPatch[],
  type: 'listeners' | 'clusters' | 'routes',
  item: Fields,
  origin: Origin,
  hosts: readonly string[],
): Fields | undefined {
  let out: Fields | undefined = item;
  for (const patch of patches) out = out && patchedResource(out, patch, { type, origin, hosts });
  return out;
}

const canonical = (applyTo: keyof typeof MESSAGES, items: readonly Fields[]) =>
  items.map((item) => strictJson(MESSAGES[applyTo], item));
