/** However many services a class of proxies sees, a step of its first compile is about one of them. */
import { describe, expect, it } from 'vitest';
import type { Resource } from '../../../shared/resources/resource.ts';
import { buildView } from '../../mesh/build-view.ts';
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

/** A mesh whose VirtualServices note, in `read`, that their routes are read. */
function mesh(read: Set<number>): Resource[] {
  const rule = (i: number) =>
    Object.defineProperty({}, 'route', {
      enumerable: true,
      get() {
        read.add(i);
        return [{ destination: { host: `svc-${i}.example` } }];
      },
    });
  const resources = Array.from({ length: SERVICES }, (_, i) => {
    const hosts = [`svc-${i}.example`];
    const ports = [
      { number: 80, name: 'http', protocol: 'HTTP' },
      { number: 20000 + i, name: 'tcp', protocol: 'TCP' },
    ];
    return [
      networking('ServiceEntry', `entry-${i}`, { hosts, ports, resolution: 'DNS' }),
      networking('VirtualService', `vs-${i}`, { hosts, gateways: ['default/gw', 'mesh'], http: [rule(i)] }),
    ];
  });
  const servers = [{ port: { number: 80, name: 'http', protocol: 'HTTP' }, hosts: ['*'] }];
  return [...resources.flat(), networking('Gateway', 'gw', { selector: LABELS, servers })];
}

describe('a first compile pauses', () => {
  it.each([
    ['sidecar', { INTERCEPTION_MODE: 'NONE', HTTP_PROXY_PORT: '15080' }],
    ['sidecar', {}],
    ['router', { LABELS }],
  ])('%s %j', (type, metadata) => {
    const read = new Set<number>();
    const work = compileInSlices(buildView(mesh(read), 1), { id: id(type), metadata });
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
