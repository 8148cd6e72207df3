/** `tulle migrate` between a data folder and a real etcd, and a backup brought back into etcd. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadPrefix } from '../../control/store/etcd/dump.ts';
import { EtcdGateway } from '../../control/store/etcd/gateway.ts';
import { openEtcdStore } from '../../control/store/etcd/store.ts';
import { ResourceCodec } from '../../control/store/sealing/resource-codec.ts';
import { openSqliteStore } from '../../control/store/sqlite.ts';
import type { ResourceStore } from '../../control/store/store.ts';
import { keyOf, service } from '../../control/store/testing/suite.ts';
import { refusal, tulle, tulleCommand } from '../kit/command.ts';
import { temporaryFolder } from '../kit/environment.ts';
import { type EtcdCluster, etcdPrograms, startEtcd } from '../kit/etcd.ts';
import { Program } from '../kit/process.ts';

const folder = temporaryFolder();
const path = (name: string) => join(folder.path, name);
let cluster: EtcdCluster;

describe.skipIf(!etcdPrograms)('migrate', () => {
  beforeAll(async () => {
    cluster = await startEtcd(folder.path, { size: 1 });
  });
  afterAll(async () => {
    await cluster?.stop();
    folder.dispose();
  });

  const urlOf = (prefix: string) => `etcd://${cluster.endpoints[0]!.slice('http://'.length)}/${prefix}`;
  const etcd = (prefix: string) => openEtcdStore(cluster.settings, { prefix: `/${prefix}` });
  const migrate = (from: string, to: string, ...flags: string[]) =>
    tulle(['migrate', '--from', from, '--to', to, ...flags]);
  /** What a store holds, but for revisions. */
  const contents = async (store: ResourceStore) => {
    const { items } = await store.list({});
    const stored = items.filter(({ kind }) => kind === 'ConfigMap' || kind === 'Secret');
    const entries = await Promise.all(
      stored.map(({ kind, metadata: { namespace = '', name } }) =>
        store.history({ group: '', plural: `${kind.toLowerCase()}s`, namespace, name }),
      ),
    );
    return {
      items: stored.map(({ metadata: { resourceVersion: _, ...metadata }, ...rest }) => ({ ...rest, metadata })),
      entries,
    };
  };
  interface Announced {
    url: string;
    adminToken: string;
  }
  /** Starts a control plane, and returns what tulle needs to reach it. */
  async function control(data: string, ...flags: string[]) {
    const command = tulleCommand('control', '--data', path(data), '--port', '0', '--announce', ...flags);
    const program = new Program(`control ${data}`, command);
    const { url, adminToken } = await program.announcement<Announced>();
    const env = { TULLE_SERVER: url, TULLE_TOKEN: adminToken, TULLE_CA_FILE: path(`${data}/ca/root-cert.pem`) };
    return { program, env };
  }
  const configMap = (value: string) => `
apiVersion: v1
kind: ConfigMap
metadata: { name: settings }
data: { value: ${value} }
---
apiVersion: v1
kind: Secret
metadata: { name: key }
stringData: { password: ${value} }
`;

  it('moves resources and history to etcd, while no control plane runs', async () => {
    const { program, env } = await control('mesh');
    for (const value of ['one', 'two'])
      expect((await tulle(['apply', '-f', '-'], { env, input: configMap(value) })).code).toBe(0);
    const busy = await migrate(path('mesh'), urlOf('moved'));
    expect(refusal(busy)).toContain('in use by another process');
    await program.stop();

    const local = await openSqliteStore(path('mesh/resources.sqlite'));
    const before = await contents(local);
    const revision = await local.revision();
    await local.close();
    expect(before.entries.map((all) => all.length)).toEqual([2, 2]);
    const moved = await migrate(path('mesh'), urlOf('moved'));
    expect([moved.code, moved.out]).toEqual([
      0,
      expect.stringMatching(/^\d+ resources migrated, with their history; /),
    ]);
    const remote = await etcd('moved');
    expect(await contents(remote)).toEqual(before);
    expect(await remote.revision()).toBeGreaterThan(revision);
    const old = remote.watch({}, revision, new AbortController().signal)[Symbol.asyncIterator]();
    await expect(old.next()).rejects.toMatchObject({ code: 'gone' });
    await remote.close();

    const there = await control('mesh', '--store', urlOf('moved'));
    const shown = await tulle(['get', 'cm/settings', '-o', 'jsonpath={.data.value}'], {
      env: { ...env, ...there.env, TULLE_TOKEN: env.TULLE_TOKEN },
    });
    expect(shown.out).toBe('two');
    expect(refusal(await migrate(urlOf('moved'), path('mesh')))).toContain('which a data folder cannot take');
    expect(refusal(await migrate(path('mesh'), urlOf('moved'), '--force'))).toContain('in use by a control plane');
    await there.program.stop();
    expect(refusal(await migrate(path('mesh'), urlOf('moved')))).toContain('holds resources');
  });

  it('leaves a prefix that control planes refuse when it is interrupted, and begins again', async () => {
    const source = await openSqliteStore(path('cut.sqlite'));
    for (let at = 0; at < 300; at++) await source.create(keyOf(`n${at}`), service(`n${at}`));
    const { records } = await source.dump();
    const cut = async function* () {
      let count = 0;
      for await (const record of records) {
        if (++count > 200) throw new Error('killed');
        yield record;
      }
    };
    const gateway = new EtcdGateway(cluster.settings);
    const options = { prefix: '/cut', codec: new ResourceCodec(), after: await source.revision(), force: false };
    await expect(loadPrefix(gateway, cut(), options)).rejects.toThrow('killed');
    await expect(etcd('cut')).rejects.toThrow('format "loading" is not known here');
    await loadPrefix(gateway, (await source.dump()).records, options);
    gateway.close();
    const loaded = await etcd('cut');
    expect((await loaded.list({})).items.length).toBe(300);
    await Promise.all([loaded.close(), source.close()]);
  });

  it('backs a mesh on etcd up, and restores it into another prefix', async () => {
    const first = await control('remote', '--store', urlOf('remote'));
    const env = { ...first.env, TULLE_BACKUP_PASSPHRASE: 'correct horse battery' };
    await tulle(['apply', '-f', '-'], { env, input: configMap('kept') });
    const saved = await tulle(['backup', path('remote.backup')], { env });
    expect(saved.code, saved.error).toBe(0);
    await first.program.stop();
    const restore = ['restore', path('remote.backup'), '--data', path('again'), '--store', urlOf('again')];
    const restored = await tulle(restore, { env });
    expect(restored.code, restored.error).toBe(0);
    const second = await control('again', '--store', urlOf('again'));
    const shown = await tulle(['get', 'cm/settings', '-o', 'jsonpath={.data.value}'], {
      env: { ...second.env, TULLE_TOKEN: env.TULLE_TOKEN },
    });
    expect(shown.out).toBe('kept');
    await second.program.stop();
    const [left, right] = [await etcd('remote'), await etcd('again')];
    expect(await contents(right)).toEqual(await contents(left));
    await Promise.all([left.close(), right.close()]);
  });
});
