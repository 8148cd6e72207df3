/** The store on a real etcd of three members, on every runtime: the whole suite of stores. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runtimeCommand } from '../../control/cli/runtimes.mjs';
import { storeCases } from '../../control/store/testing/suite.ts';
import { ROOT, RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { type EtcdCluster, etcdPrograms, startEtcd } from '../kit/etcd.ts';
import { run } from '../kit/process.ts';

const folder = temporaryFolder();
let cluster: EtcdCluster;

describe.skipIf(!etcdPrograms)('etcd', () => {
  beforeAll(async () => {
    cluster = await startEtcd(folder.path);
  });
  afterAll(async () => {
    await cluster?.stop();
    folder.dispose();
  });

  it.each(RUNTIMES)('passes the whole suite on %s', async (runtime) => {
    const [program, ...args] = runtimeCommand(runtime, join(ROOT, 'control/store/testing/etcd-suite.main.ts'));
    const { out, error } = await run(program!, [...args, JSON.stringify(cluster.settings), `/${runtime}`]);
    expect(error).toBe('');
    expect(out.trim().split('\n')).toEqual(storeCases.map(({ name }) => `ok ${name}`));
  });
});
