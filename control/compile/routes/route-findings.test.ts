import { expect, it } from 'vitest';
import type { Resource } from '../../../shared/resources/resource.ts';
import { MeshIndex } from '../../mesh/mesh-index.ts';
import { nodeCompiler } from '../node/node.ts';
import { inOneGo } from '../output/compiled-node.ts';

const virtualService = (name: string, spec: object): Resource => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'VirtualService',
  metadata: { name, namespace: 'shop' },
  spec,
});
const node = (namespace: string) => ({ id: `sidecar~10.0.0.1~a.${namespace}~x`, metadata: {} });

it('a rule whose delegate is missing is found by the proxies that see it, until the delegate is there', () => {
  const compile = nodeCompiler();
  const index = new MeshIndex();
  const root = virtualService('root', {
    hosts: ['web.example'],
    exportTo: ['.'],
    http: [{ delegate: { name: 'part' } }],
  });
  const part = virtualService('part', { http: [{ route: [{ destination: { host: 'a.example' } }] }] });
  const errors = (removed: Resource[], added: Resource[], namespace = 'shop') =>
    inOneGo(compile(index.apply({ removed, added }, 1).view, node(namespace))).errors;

  const missing = errors([], [root]);
  expect(missing).toEqual([
    {
      about: root,
      reason: 'RuleWithoutEffect',
      message: 'spec.http[0].delegate: there is no VirtualService shop/part without hosts: the rule has no effect',
    },
  ]);
  expect(errors([], [])).toBe(missing);
  expect(errors([], [], 'pay')).toEqual([]);
  expect(errors([], [part])).toEqual([]);
  expect(errors([part], [])).toEqual(missing);
});
