/** Shared state in a real etcd: what two processes' worth of it see, through the loss of members, and what is encrypted. */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EtcdGateway } from '../../control/store/etcd/gateway.ts';
import { rangeOf } from '../../control/store/etcd/keys.ts';
import { EtcdState } from '../../control/store/etcd/state/etcd-state.ts';
import { plainSealer, type Sealer } from '../../control/store/sealing/sealer.ts';
import { changeRecord } from '../../control/store/state/state.ts';
import { temporaryFolder } from '../kit/environment.ts';
import { type EtcdCluster, etcdPrograms, startEtcd } from '../kit/etcd.ts';
import { until } from '../kit/waiting.ts';

const folder = temporaryFolder();

describe.skipIf(!etcdPrograms)('shared state in etcd', () => {
  let cluster: EtcdCluster;
  const opened: { state: EtcdState; gateway: EtcdGateway }[] = [];
  beforeAll(async () => {
    cluster = await startEtcd(folder.path);
  });
  afterAll(async () => {
    for (const { state, gateway } of opened) {
      await state.close();
      gateway.close();
    }
    await cluster?.stop();
    folder.dispose();
  });

  async function open(prefix: string, sealer: Sealer = plainSealer): Promise<EtcdState> {
    const gateway = new EtcdGateway(cluster.settings);
    const state = await EtcdState.open({ gateway, prefix, sealer, lease: () => undefined, onTrouble: () => {} });
    opened.push({ state, gateway });
    return state;
  }

  it('is written by one of several, all or nothing, and followed by the others in order', async () => {
    const [one, other] = [await open('/two'), await open('/two')];
    const seen: string[] = [];
    other.onChange('counters', (changes) => seen.push(...changes.map(({ text }) => text ?? 'deleted')));
    const firsts = await Promise.all(
      [one, other, one, other].map((state) => state.commit([{ key: 'tokens/a', text: 'claimed', expected: 0 }])),
    );
    expect(firsts.filter((revision) => revision !== undefined)).toHaveLength(1);
    await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        changeRecord(i % 2 === 0 ? one : other, 'counters/a', (entry) => String(Number(entry?.text ?? 0) + 1)),
      ),
    );
    expect((await one.fetch('counters/a'))?.text).toBe('20');
    await until('the other has all of it', () => seen.length === 20);
    expect(seen).toEqual(Array.from({ length: 20 }, (_, i) => String(i + 1)));
    const refused = await one.commit([
      { key: 'counters/b', text: 'written' },
      { key: 'counters/a', text: undefined, expected: 1 },
    ]);
    expect([refused, await other.fetch('counters/b')]).toEqual([undefined, undefined]);
    await one.commit([{ key: 'counters/a', text: undefined }]);
    expect(one.get('counters/a')).toBeUndefined();
    await until('the other has heard of it', () => other.get('counters/a') === undefined);
    expect((await open('/two')).entries('tokens')).toHaveLength(1);
  });

  it('loses nothing that was acknowledged, and counts nothing twice, while members are killed', async () => {
    const [one, other] = [await open('/faults'), await open('/faults')];
    let acknowledged = 0;
    const stopping = { now: false };
    const writers = [one, other].map(async (state) => {
      while (!stopping.now) {
        await changeRecord(state, 'counters/a', (entry) => String(Number(entry?.text ?? 0) + 1)).then(
          () => acknowledged++,
          () => {},
        );
      }
    });
    for (const at of [0, 1, 2]) {
      const before = acknowledged;
      await cluster.members[at]!.kill();
      await until('writes continue without a member', () => acknowledged > before + 20);
      cluster.members[at]!.restart();
      await until('the member is back', async () => {
        const gateway = new EtcdGateway({ endpoints: [cluster.endpoints[at]!] });
        try {
          return await gateway.call('/v3/kv/range', { key: 'YQ==' }).then(() => true);
        } finally {
          gateway.close();
        }
      });
    }
    stopping.now = true;
    await Promise.all(writers);
    const counted = Number((await one.fetch('counters/a'))?.text);
    // One that was not acknowledged may have been written; there are few of them.
    expect(counted).toBeGreaterThanOrEqual(acknowledged);
    await until('the other has all of it', () => other.get('counters/a')?.text === String(counted));
  });

  it('writes nothing in the clear, and is not read with another key', async () => {
    const sealer = testSealer();
    const state = await open('/sealed', sealer);
    await state.commit([{ key: 'keys/root', text: 'a secret key' }]);
    const gateway = new EtcdGateway(cluster.settings);
    try {
      const { answer } = await gateway.call<{ kvs: { value: string }[] }>('/v3/kv/range', rangeOf('/sealed/state/'));
      for (const { value } of answer.kvs) expect(Buffer.from(value, 'base64').toString()).not.toContain('secret');
    } finally {
      gateway.close();
    }
    expect((await open('/sealed', sealer)).get('keys/root')?.text).toBe('a secret key');
    await expect(open('/sealed', testSealer())).rejects.toThrow();
  });
});

function testSealer(): Sealer {
  const key = randomBytes(32);
  return {
    seal(place, plain) {
      const nonce = randomBytes(12);
      const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(place));
      return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
    },
    open(place, bytes) {
      const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, 12)).setAAD(Buffer.from(place));
      decipher.setAuthTag(Buffer.from(bytes.subarray(-16)));
      return Buffer.concat([decipher.update(bytes.subarray(12, -16)), decipher.final()]);
    },
    isStale: () => false,
  };
}
