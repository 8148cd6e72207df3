import { describe, expect, it } from 'vitest';
import type { Resource } from '../../../shared/resources/resource.ts';
import { buildView } from '../../mesh/build-view.ts';
import { compileWithNotes } from '../node/node.ts';

const resource = (kind: string, name: string, spec: object, namespace = 'default'): Resource => ({
  apiVersion: kind === 'AuthorizationPolicy' ? 'security.istio.io/v1' : 'networking.istio.io/v1',
  kind,
  metadata: { name, namespace },
  spec,
});
const entry = (name: string, more: object = {}) =>
  resource('ServiceEntry', name, {
    hosts: [`${name}.default.svc.cluster.local`],
    location: 'MESH_INTERNAL',
    resolution: 'STATIC',
    ports: [{ number: 9080, name: 'http', protocol: 'HTTP' }],
    endpoints: [{ address: '10.0.0.2', labels: { app: name }, serviceAccount: name }],
    ...more,
  });
const policy = (target: object, action = 'DENY', namespace = 'default') =>
  resource('AuthorizationPolicy', 'p', { action, targetRefs: [target], rules: [{}] }, namespace);
const gateway = resource('Gateway', 'g', {
  selector: {},
  servers: [{ port: { number: 80, name: 'http', protocol: 'HTTP' }, hosts: ['*'] }],
});
const compile = (type: 'sidecar' | 'router', labels: Record<string, string>, ...resources: Resource[]) => {
  const ip = type === 'router' ? '10.0.0.9' : '10.0.0.2';
  const id = `${type}~${ip}~x.default~default.svc.cluster.local`;
  const { snapshot, notes } = compileWithNotes(buildView(resources, 1), { id, metadata: { LABELS: labels } });
  const ids = JSON.stringify(snapshot.listeners).match(/ns\[[^"]*\]-rule\[\d+\]/g) ?? [];
  return { enforced: [...new Set(ids)], notes: notes.filter((note) => note.startsWith('AuthorizationPolicy')) };
};
const group = 'gateway.networking.k8s.io';
const own = ['ns[default]-policy[p]-rule[0]'];

describe('a policy attached by reference', () => {
  it('to a Gateway is enforced by its proxies, and by no other', () => {
    const target = policy({ group, kind: 'Gateway', name: 'g' });
    const named = (name: string) => ({ 'gateway.networking.k8s.io/gateway-name': name });
    expect(compile('router', named('g'), gateway, target)).toEqual({ enforced: own, notes: [] });
    expect(compile('router', named('h'), gateway, target)).toEqual({ enforced: [], notes: [] });
    expect(compile('sidecar', {}, entry('a'), target)).toEqual({ enforced: [], notes: [] });
  });
  it('to a service is enforced by its workloads', () => {
    const target = policy({ group: 'networking.istio.io', kind: 'ServiceEntry', name: 'a' });
    expect(compile('sidecar', {}, entry('a'), target)).toEqual({ enforced: own, notes: [] });
    const elsewhere = entry('b', { endpoints: [{ address: '10.0.0.3' }] });
    const other = policy({ group: 'networking.istio.io', kind: 'ServiceEntry', name: 'b' });
    expect(compile('sidecar', {}, entry('a'), elsewhere, other)).toEqual({ enforced: [], notes: [] });
  });
  it('says that it holds for the whole workload where that serves several', () => {
    const target = policy({ group: 'networking.istio.io', kind: 'ServiceEntry', name: 'a' });
    const machine = resource('WorkloadEntry', 'vm', { address: '10.0.0.2', labels: { app: 'ab' } });
    const of = (name: string) => entry(name, { endpoints: undefined, workloadSelector: { labels: { app: 'ab' } } });
    const { enforced, notes } = compile('sidecar', {}, of('a'), of('b'), machine, target);
    expect(enforced).toEqual(own);
    expect(notes).toEqual([expect.stringContaining('every port')]);
  });
  it('says that nothing can enforce it: no such service, or none of the mesh', () => {
    const external = entry('b', { location: 'MESH_EXTERNAL', endpoints: [{ address: '203.0.113.1' }] });
    for (const target of [
      { kind: 'Service', name: 'gone' },
      { group: 'networking.istio.io', kind: 'ServiceEntry', name: 'b' },
    ])
      expect(compile('sidecar', {}, entry('a'), external, policy(target))).toEqual({
        enforced: [],
        notes: [expect.stringContaining('no workload that could enforce it')],
      });
  });
  it('to what is not supported denies everything, and says so', () => {
    const target = policy({ group: 'x.io', kind: 'Thing', name: 't' }, 'ALLOW');
    expect(compile('sidecar', {}, entry('a'), target)).toEqual({
      enforced: own,
      notes: [expect.stringContaining('everything is denied')],
    });
  });
});
