import { expect, it } from 'vitest';
import type { Join } from '../ca/joins.ts';
import { checkGatewayLabels } from './gateway-labels.ts';
import type { WorkloadGroup } from './group-template.ts';

const group = {
  metadata: { name: 'edge', namespace: 'shop' },
  spec: { metadata: { labels: { istio: 'ingressgateway' } }, template: { serviceAccount: 'edge' } },
} as unknown as WorkloadGroup;
const joinOf = (name: string | undefined) =>
  ({ namespace: 'shop', group: name, labels: { rack: 'r1' } }) as unknown as Join;
const check = (type: string, metadata: object, join: Join | undefined) =>
  checkGatewayLabels({ id: `${type}~10.0.0.1~a.shop~shop.svc.cluster.local`, metadata: { ...metadata } }, join, [
    group,
  ]);
const refused = expect.objectContaining({ code: 'not-allowed' });

it('lets a gateway of a WorkloadGroup have the labels that an administrator gave it', () => {
  check('router', { LABELS: { istio: 'ingressgateway', rack: 'r1' } }, joinOf('edge'));
  check('router', {}, joinOf('edge'));
});

it.each([{ LABELS: { istio: 'other' } }, { LABELS: { app: 'x' } }, { STATIC_LABELS: { app: 'x' } }])(
  'refuses a gateway of a WorkloadGroup with others: %j',
  (metadata) => {
    expect(() => check('router', metadata, joinOf('edge'))).toThrow(refused);
  },
);

it('refuses labels of a group that is gone', () => {
  expect(() => check('router', { LABELS: { istio: 'ingressgateway' } }, joinOf('gone'))).toThrow(refused);
});

it('leaves sidecars, and gateways that joined without a group', () => {
  check('sidecar', { LABELS: { app: 'x' } }, joinOf('edge'));
  check('router', { LABELS: { app: 'x' } }, joinOf(undefined));
  check('router', { LABELS: { app: 'x' } }, undefined);
});
