/** Calls through whole configurations meet what Istio's own simulation expects. The data is not part of the repository. */
import { describe, expect, it } from 'vitest';
import { RESOURCE_TYPES, SCHEMAS, type Snapshot } from '../../shared/xds/discovery.ts';
import { type CompileInput, compiledInput } from './testing/inputs/input.ts';
import { CALLS, routeTables, type SimulatedCall, simulations, TABLES } from './testing/inputs/simulation.ts';
import { hasReference } from './testing/reference.ts';
import type { Met } from './testing/walk/call.ts';
import { walk } from './testing/walk/walk.ts';

/** What is compiled is valid xDS. */
function compiled(input: CompileInput): Snapshot {
  const { snapshot } = compiledInput(input);
  for (const type of RESOURCE_TYPES)
    for (const resource of snapshot[type] ?? []) expect(SCHEMAS[type].safeParse(resource).error).toBeUndefined();
  return snapshot;
}

const FIELDS = ['error', 'listener', 'filterChain', 'routeConfig', 'virtualHost', 'route', 'cluster'] as const;

/** Names without the cluster domain, which upstream's tests do not have. */
const plain = (name: string | undefined) => name?.replaceAll('.svc.cluster.local', '');

function differences({ strict, ...expected }: SimulatedCall['expect'], met: Met): string[] {
  const judged = FIELDS.filter((field) => field === 'error' || strict || expected[field] !== undefined);
  return judged.flatMap((field) => {
    const [wanted, found] = [plain(expected[field] || undefined), plain(met[field] || undefined)];
    return wanted === found ? [] : [`${field}: ${found}, not ${wanted}`];
  });
}

const conflicts = ({ error }: Met) => (error === 'multiple filter chains matched' ? [error] : []);

describe.skipIf(!hasReference(CALLS))('calls through the compiled xDS', () => {
  const cases = hasReference(CALLS) ? simulations() : [];

  it('are all judged', () => {
    expect(cases).toHaveLength(33);
    expect(cases.flatMap(({ calls }) => calls)).toHaveLength(224);
  });

  it.each(cases.map((one) => [one.label, one] as const))('%s', (_id, simulation) => {
    const snapshot = compiled(simulation);
    const wrong = simulation.calls.flatMap(({ name, call, expect: expected }) => {
      const met = walk(snapshot, call);
      const found = simulation.knownInvalidXds ? conflicts(met) : differences(expected, met);
      return found.length === 0
        ? []
        : [`${name} ${JSON.stringify(call)}: ${found.join('; ')} (${JSON.stringify(met)})`];
    });
    expect(wrong).toEqual([]);
  });
});

describe.skipIf(!hasReference(TABLES))('the virtual hosts of a sidecar', () => {
  const tables = hasReference(TABLES) ? routeTables() : [];

  it('are all judged', () => expect(tables).toHaveLength(24));

  it.each(tables.map((one) => [one.label, one] as const))('%s', (_id, table) => {
    const { routes = [] } = compiled(table);
    const hosts = routes.find(({ name }) => name === table.routeConfig)?.virtualHosts ?? [];
    const found = Object.keys(table.expectedVirtualHosts).map((domain) => {
      const own = hosts.filter(({ domains }) => domains.includes(domain)).flatMap((host) => host.routes ?? []);
      const clusters = own.flatMap(({ route }) => [
        ...(route?.cluster === undefined ? [] : [route.cluster]),
        ...(route?.weightedClusters?.clusters ?? []).map(({ name }) => name ?? ''),
      ]);
      return [domain, clusters.sort()];
    });
    expect(Object.fromEntries(found)).toEqual(table.expectedVirtualHosts);
  });
});
