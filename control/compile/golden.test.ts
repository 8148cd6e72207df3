/** What istiod generates, compared by meaning. The data is not part of the repository. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import type { Resource } from '../../shared/resources/resource.ts';
import type { Node } from '../../shared/xds/core.ts';
import { RESOURCE_TYPES, SCHEMAS } from '../../shared/xds/discovery.ts';
import { buildView } from '../mesh/build-view.ts';
import { DEFAULT_SETTINGS, parseMeshConfig } from '../mesh/mesh-config.ts';
import { type Compiled, compileWithNotes } from './node/node.ts';
import { differences, type Golden } from './testing/golden-compare.ts';
import { EXCUSED, EXCUSED_ASPECTS } from './testing/golden-excused.ts';

const GOLDEN = new URL('../../../shared/reference/istiod-golden/cases/', import.meta.url);
const available = existsSync(GOLDEN);
if (!available) console.info('istiod golden cases skipped: reference data is not present');

/** Proxies whose whole configuration agrees; raise it, never lower it. */
const FLOOR = 185;

function resourcesOf(name: string): Resource[] {
  return parseAllDocuments(readFileSync(new URL(`${name}/config.yaml`, GOLDEN), 'utf8'))
    .map((document) => document.toJS() as Resource | null)
    .filter((item): item is Resource => item !== null);
}

function compiled(name: string, golden: Golden): Compiled {
  const mesh = new URL(`${name}/mesh.yaml`, GOLDEN);
  const settings = existsSync(mesh) ? parseMeshConfig(readFileSync(mesh, 'utf8')) : DEFAULT_SETTINGS;
  const rejected = new Set(golden.rejected.map((item) => Number(item.document)));
  const resources = resourcesOf(name).filter((_, index) => !rejected.has(index));
  const [region = '', zone = '', subZone = ''] = golden.proxy.locality.split('/');
  const node: Node = { id: golden.proxy.nodeId, metadata: golden.proxy.metadata, locality: { region, zone, subZone } };
  return compileWithNotes(buildView(resources, 1, settings), node);
}

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

describe.skipIf(!available)('compiled as istiod does', () => {
  it('agrees on routes, clusters, endpoints, RBAC, mTLS, access logs, metrics and tracing', () => {
    const agreed: string[] = [];
    const wrong: string[] = [];
    const excused: string[] = [];
    const stale = new Set(Object.keys(EXCUSED));
    for (const name of readdirSync(GOLDEN)) {
      for (const file of readdirSync(new URL(`${name}/xds/`, GOLDEN))) {
        const label = `${name}/${file.replace('.json', '')}`;
        const golden = JSON.parse(readFileSync(new URL(`${name}/xds/${file}`, GOLDEN), 'utf8')) as Golden;
        const { snapshot, notes } = compiled(name, golden);
        for (const type of RESOURCE_TYPES)
          for (const resource of snapshot[type] ?? []) {
            const parsed = SCHEMAS[type].safeParse(resource);
            expect(parsed.success, `${label}: ${type}: ${parsed.error?.message}`).toBe(true);
          }
        const aspect = EXCUSED_ASPECTS[name];
        const all = differences(withoutServedPorts(golden, notes), snapshot);
        const found = aspect ? all.filter((one) => !aspect.path.test(one)) : all;
        if (aspect) expect(found.length, `${label}: needs no excuse`).toBeLessThan(all.length);
        const excuse = EXCUSED[name];
        if (found.length === 0) agreed.push(label);
        else if (excuse) {
          excused.push(`${label}: ${excuse}`);
          stale.delete(name);
        } else wrong.push(`${label}:\n    ${found.slice(0, 4).join('\n    ')}`);
      }
    }
    const total = agreed.length + wrong.length + excused.length;
    console.info(`${agreed.length} of ${total} proxies agree; ${excused.length} excused; ${wrong.length} differ`);
    if (process.env['GOLDEN_VERBOSE']) console.info([...excused, ...wrong].join('\n'));
    expect(wrong).toEqual([]);
    expect([...stale], 'cases that agree by now need no excuse').toEqual([]);
    expect(agreed.length).toBeGreaterThanOrEqual(FLOOR);
  });
});
