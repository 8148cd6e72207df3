/** However many services a class of proxies sees, a step of its first compile is about one of them. */
import { describe, expect, it } from 'vitest';
import type { Resource } from '../../../shared/resources/resource.ts';
import { MeshIndex } from '../../mesh/mesh-index.ts';
import type { HttpRule } from '../../mesh/routes/route-form.ts';
import { formsPerResource } from '../../mesh/routes/route-reader.ts';
import { formOf } from '../../mesh/routes/virtual-service.ts';
import type { MeshView } from '../../mesh/view.ts';
import { compileInSlices } from './node.ts';

const SERVICES = 60;
const id = (type: string) => `${type}~10.0.0.1~x.default~default.svc.cluster.local`;
const LABELS = { istio: 'edge' };

const networking = (kind: string, name: string, spec: object): Resource => ({
  apiVersion: 'networking.istio.io/v1',
  kind,
  metadata: { name, namespace: 'default' },
  spec,
});

const HOSTS = Array.from({ length: SERVICES }, (_, i) => `svc-${i}.example`);

const MESH: Resource[] = [
  ...HOSTS.flatMap((host, i) => {
    const hosts = [host];
    const ports = [
      { number: 80, name: 'http', protocol: 'HTTP' },
      { number: 20000 + i, name: 'tcp', protocol: 'TCP' },
    ];
    const http = [{ route: [{ destination: { host } }] }];
    return [
      networking('ServiceEntry', `entry-${i}`, { hosts, ports, resolution: 'DNS' }),
      networking('VirtualService', `vs-${i}`, { hosts, gateways: ['default/gw', 'mesh'], http }),
    ];
  }),
  networking('Gateway', 'gw', {
    selector: LABELS,
    servers: [{ port: { number: 80, name: 'http', protocol: 'HTTP' }, hosts: ['*'] }],
  }),
];

/** A view whose rules note, in `read`, the host of their form when their destinations are read. */
function viewOf(read: Set<string>): MeshView {
  const watched = (rule: HttpRule, host: string): HttpRule =>
    Object.defineProperty({ ...rule }, 'route', {
      enumerable: true,
      get() {
        read.add(host);
        return rule.route;
      },
    });
  const reader = formsPerResource('VirtualService', (vs, settings) => {
    const form = formOf(vs, settings);
    return [{ ...form, http: form.http.map((rule) => watched(rule, form.hosts.join())) }];
  });
  return new MeshIndex({ routeReaders: [reader] }).apply({ removed: [], added: MESH }, 1).view;
}

describe('a first compile pauses', () => {
  it.each([
    ['sidecar', { INTERCEPTION_MODE: 'NONE', HTTP_PROXY_PORT: '15080' }],
    ['sidecar', {}],
    ['router', { LABELS }],
  ])('%s %j', (type, metadata) => {
    const read = new Set<string>();
    const work = compileInSlices(viewOf(read), { id: id(type), metadata });
    const counts: number[] = [];
    for (let done: boolean | undefined = false; !done; ) {
      read.clear();
      done = work.next().done;
      counts.push(read.size);
    }
    expect(counts.filter((count) => count > 0)).toEqual(Array(SERVICES).fill(1));
    // Clusters, listeners, virtual hosts, their versions.
    expect(counts.length).toBeGreaterThan(5 * SERVICES);
  });
});
