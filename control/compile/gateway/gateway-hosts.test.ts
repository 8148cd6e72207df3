import { expect, it } from 'vitest';
import type { Resource } from '../../../shared/resources/resource.ts';
import { buildView } from '../../mesh/build-view.ts';
import { compileNode } from '../node/node.ts';

const networking = (kind: string, name: string, spec: object): Resource => ({
  apiVersion: 'networking.istio.io/v1',
  kind,
  metadata: { name, namespace: 'shop' },
  spec,
});

it('a short host of a VirtualService is the full name at a gateway, as in Istio', () => {
  const resources = [
    networking('Gateway', 'gw', {
      selector: { istio: 'edge' },
      servers: [{ port: { number: 80, name: 'http', protocol: 'HTTP' }, hosts: ['*'] }],
    }),
    networking('VirtualService', 'cart', {
      hosts: ['cart', 'shop.example'],
      gateways: ['gw'],
      http: [{ route: [{ destination: { host: 'cart', port: { number: 80 } } }] }],
    }),
  ];
  const node = { id: 'router~10.0.0.1~gw.shop~shop.svc.cluster.local', metadata: { LABELS: { istio: 'edge' } } };
  const { routes } = compileNode(buildView(resources, 1), node);
  expect(routes.flatMap(({ virtualHosts = [] }) => virtualHosts.map(({ domains }) => domains))).toEqual([
    ['cart.shop.svc.cluster.local'],
    ['shop.example'],
  ]);
});
