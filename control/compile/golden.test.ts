/** What istiod generates, compared by meaning. The data is not part of the repository. */
import { describe, expect, it } from 'vitest';
import { RESOURCE_TYPES, SCHEMAS, type Snapshot } from '../../shared/xds/discovery.ts';
import { deliberateDifferences, isFragment } from './testing/deliberate.ts';
import { differences, type Golden } from './testing/golden-compare.ts';
import { withoutDeliberate } from './testing/golden-deliberate.ts';
import { EXCUSED, EXCUSED_ASPECTS } from './testing/golden-excused.ts';
import { GOLDEN, goldenInputs } from './testing/inputs/golden.ts';
import { compiledInput } from './testing/inputs/input.ts';
import { hasReference } from './testing/reference.ts';

const available = hasReference(GOLDEN);

/** Proxies whose whole configuration agrees; raise it, never lower it. */
const FLOOR = 272;

/** istiod binds outbound listeners on ports that the workload serves; here they are left out, each with a note. */
function withoutServedPorts(golden: Golden, notes: readonly string[]): Golden {
  const left = notes.flatMap(
    (note) => /^no outbound listener (\S+): a workload of this host serves/.exec(note)?.[1] ?? [],
  );
  const ports = left.map((name) => name.slice(name.lastIndexOf('_') + 1));
  return {
    ...golden,
    listeners: golden.listeners.filter((item) => !left.includes(String(item['name']))),
    // Of a port, or of a service at a port.
    routes: golden.routes.filter((item) => !ports.includes(String(item['name']).split(':').at(-1)!)),
  };
}

/**
 * Without capture a workload's ports are bound without a Sidecar here; istiod binds none. Where it has none, ours are not
 * compared.
 */
function withoutOwnInbound(golden: Golden, snapshot: Snapshot): Snapshot {
  const isInbound = (listener: { trafficDirection?: unknown }) => listener.trafficDirection === 'INBOUND';
  if (golden.proxy.metadata['INTERCEPTION_MODE'] !== 'NONE' || golden.listeners.some(isInbound)) return snapshot;
  return {
    ...snapshot,
    listeners: (snapshot.listeners ?? []).filter((listener) => !isInbound(listener)),
    clusters: (snapshot.clusters ?? []).filter(({ name }) => !name.startsWith('inbound|')),
  };
}

describe.skipIf(!available)('compiled as istiod does', () => {
  it('agrees on routes, clusters, endpoints, RBAC, mTLS, access logs, metrics and tracing', () => {
    const agreed: string[] = [];
    const wrong: string[] = [];
    const excused: string[] = [];
    const deliberate = deliberateDifferences();
    const stale = new Set([...Object.keys(EXCUSED), ...[...deliberate].filter((name) => !isFragment(name))]);
    for (const input of goldenInputs()) {
      const { name, label, golden } = input;
      const { snapshot, notes } = compiledInput(input);
      // The nodes are Envoys, which are sent what an EnvoyFilter says.
      const isPatched = input.resources.some(({ kind }) => kind === 'EnvoyFilter');
      for (const type of isPatched ? [] : RESOURCE_TYPES)
        for (const resource of snapshot[type] ?? []) {
          const parsed = SCHEMAS[type].safeParse(resource);
          expect(parsed.success, `${label}: ${type}: ${parsed.error?.message}`).toBe(true);
        }
      const aspect = EXCUSED_ASPECTS[name];
      const all = differences(withoutServedPorts(golden, notes), withoutOwnInbound(golden, snapshot));
      const differing = aspect ? all.filter((one) => !aspect.path.test(one)) : all;
      if (aspect) expect(differing.length, `${label}: needs no excuse`).toBeLessThan(all.length);
      const { left: found, stale: agreeing } = withoutDeliberate(differing, label);
      for (const name of agreeing) stale.add(name);
      const excuse = deliberate.has(name) ? 'docs/differences-from-istio.md' : EXCUSED[name];
      if (found.length === 0) agreed.push(label);
      else if (excuse) {
        excused.push(`${label}: ${excuse}`);
        stale.delete(name);
      } else wrong.push(`${label}:\n    ${found.slice(0, 4).join('\n    ')}`);
    }
    const total = agreed.length + wrong.length + excused.length;
    console.info(`${agreed.length} of ${total} proxies agree; ${excused.length} excused; ${wrong.length} differ`);
    if (process.env['GOLDEN_VERBOSE']) console.info([...excused, ...wrong].join('\n'));
    expect(wrong).toEqual([]);
    expect([...stale], 'cases that agree by now need no excuse').toEqual([]);
    expect(agreed.length).toBeGreaterThanOrEqual(FLOOR);
  });
});
