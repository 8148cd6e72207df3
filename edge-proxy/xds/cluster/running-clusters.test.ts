import { expect, it } from 'vitest';
import { ClusterLoadAssignment, Cluster as ClusterSchema } from '../../../shared/xds/cluster.ts';
import { type ClusterDeps, compileCluster } from './compile-cluster.ts';
import { RunningClusters } from './running-clusters.ts';

function setup() {
  const compiled: string[] = [];
  const closed: string[] = [];
  const known = new Map<string, ClusterLoadAssignment>();
  const deps: ClusterDeps = {
    tls: () => () => undefined,
    resolve: () => Promise.reject(new Error('no DNS')),
    now: () => 0,
    random: () => 0,
  };
  const clusters = new RunningClusters(
    (config, assignment, given) => {
      const cluster = compileCluster(config, assignment, given);
      compiled.push(config.name);
      return Object.assign(cluster, { close: () => closed.push(config.name) });
    },
    deps,
    (service) => known.get(service),
  );
  const assign = (clusterName: string, ...addresses: string[]) => {
    const lbEndpoints = addresses.map((address) => ({
      endpoint: { address: { socketAddress: { address, portValue: 80 } } },
    }));
    const assignment = ClusterLoadAssignment.parse({ clusterName, endpoints: [{ lbEndpoints }] });
    clusters.assign(assignment);
    known.set(clusterName, assignment);
  };
  const run = (name: string, serviceName = '', more: object = {}) =>
    clusters.run(
      ClusterSchema.parse({ name, type: 'EDS', edsClusterConfig: { edsConfig: { ads: {} }, serviceName }, ...more }),
    );
  const at = (name: string) =>
    clusters.byName
      .get(name)
      ?.endpoints()
      .map(({ address }) => address);
  return { clusters, compiled, closed, assign, run, at };
}

it('compiles a cluster once, whether it or its endpoints come first', () => {
  const { compiled, assign, run, at } = setup();
  run('a');
  assign('a', '10.0.0.1');
  assign('b', '10.0.0.2');
  run('b');
  expect([at('a'), at('b'), compiled]).toEqual([['10.0.0.1'], ['10.0.0.2'], ['a', 'b']]);
});

it('gives endpoints to every cluster of their service name, and to no other', () => {
  const { compiled, closed, assign, run, at } = setup();
  run('a', 'shared');
  run('b', 'shared');
  run('c');
  run('shared', 'elsewhere');
  assign('shared', '10.0.0.1');
  expect([at('a'), at('b'), at('c'), at('shared')]).toEqual([['10.0.0.1'], ['10.0.0.1'], [], []]);
  expect(compiled).toHaveLength(4);
  // An endpoint left: the clusters have successors.
  assign('shared');
  expect([at('a'), at('b'), closed]).toEqual([[], [], ['a', 'b']]);
});

it('follows a cluster to another service name, to another type and out', () => {
  const { clusters, closed, assign, run, at } = setup();
  assign('new', '10.0.0.9');
  run('a', 'old');
  run('a', 'new');
  expect(at('a')).toEqual(['10.0.0.9']);
  assign('old', '10.0.0.1');
  expect(at('a')).toEqual(['10.0.0.9']);
  clusters.run(ClusterSchema.parse({ name: 'a', type: 'STATIC' }));
  assign('new', '10.0.0.2');
  expect(at('a')).toEqual([]);
  run('a', 'new');
  clusters.remove('a');
  assign('new', '10.0.0.3');
  expect(at('a')).toBeUndefined();
  expect(closed).toEqual(['a', 'a', 'a', 'a']);
});

it('keeps the version before, and its service name, when the next is refused', () => {
  const { closed, assign, run, at } = setup();
  run('a', 'old');
  expect(() => run('a', 'new', { lbPolicy: 'CLUSTER_PROVIDED' })).toThrow('lbPolicy');
  assign('new', '10.0.0.2');
  assign('old', '10.0.0.1');
  expect([at('a'), closed]).toEqual([['10.0.0.1'], []]);
});
