import { expect, it } from 'vitest';
import type { Resource } from '../../../shared/resources/resource.ts';
import { buildView } from '../../mesh/build-view.ts';
import { compileInSlices } from '../node/node.ts';
import { inOneGo } from '../output/compiled-node.ts';
import { findingText } from '../output/finding.ts';

const resource = (kind: string, name: string, spec: object): Resource => ({
  apiVersion: kind === 'Service' ? 'v1' : 'networking.istio.io/v1',
  kind,
  metadata: { name, namespace: 'shop' },
  spec: spec as never,
});
const ports = [{ name: 'http', port: 80 }];
const MESH = [
  resource('Service', 'real', { clusterIP: '10.0.0.1', ports, selector: { app: 'real' } }),
  resource('Service', 'alias', { type: 'ExternalName', externalName: 'real.shop.svc.cluster.local', ports }),
  resource('Service', 'chain', { type: 'ExternalName', externalName: 'alias.shop.svc.cluster.local', ports }),
  resource('Service', 'far', { type: 'ExternalName', externalName: 'far.example', ports }),
];
const REAL = 'real.shop.svc.cluster.local';
const found = (...resources: Resource[]): string[] => {
  const view = buildView([...MESH, ...resources], 1);
  const node = { id: 'sidecar~10.0.0.9~a.shop~shop.svc.cluster.local', metadata: { NAMESPACE: 'shop' } };
  return inOneGo(compileInSlices(view, node)).errors.map(findingText);
};
const to = (host: string) => ({ destination: { host }, weight: 1 });

it.each<[string, object, string, string]>([
  ['a route', { http: [{ route: [to('alias')] }] }, 'http', 'alias'],
  ['one of several', { http: [{ route: [to(REAL), to('chain')] }] }, 'http', 'chain'],
  ['a mirror', { http: [{ route: [to(REAL)], mirror: { host: 'alias' } }] }, 'http', 'alias'],
  ['mirrors', { http: [{ route: [to(REAL)], mirrors: [to('alias')] }] }, 'http', 'alias'],
  ['a TCP route', { tcp: [{ route: [to('alias')] }] }, 'tcp', 'alias'],
])('an alias as the destination of %s is found', (_, rules, section, name) => {
  const host = `${name}.shop.svc.cluster.local`;
  expect(found(resource('VirtualService', 'v', { hosts: [REAL], ...rules }))).toEqual([
    `VirtualService shop/v: spec.${section}: destination host "${host}" is an alias of ${REAL} and, as in Istio, no destination: name ${REAL}`,
  ]);
});

it('an alias as the host of a DestinationRule is found', () => {
  const rule = (host: string) => resource('DestinationRule', 'r', { host, trafficPolicy: {} });
  expect(found(rule('alias'))).toEqual([
    `DestinationRule shop/r: spec.host: is an alias of ${REAL}, whose rules hold for it: name ${REAL}`,
  ]);
  expect(found(rule('real'))).toEqual([]);
});

it('a name that no service has is a service of its own', () => {
  expect(found(resource('VirtualService', 'v', { hosts: ['x.example'], http: [{ route: [to('far')] }] }))).toEqual([]);
});
