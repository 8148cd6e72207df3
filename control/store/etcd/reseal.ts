/** Secrets in etcd that were written without encryption, or with an older key. */
import type { ResourceCodec } from '../sealing/resource-codec.ts';
import { all } from './dump.ts';
import type { EtcdGateway } from './gateway.ts';
import { decodeValue, encodeValue, fromBase64, isStaleValue, ResourceKeys } from './keys.ts';

/**
 * Opens every Secret, then writes those again that are stale, each unless it has changed meanwhile: then its writer has sealed it.
 * @throws Error naming the Secret and the key; then nothing was written. EtcdError
 */
export async function resealPrefix(gateway: EtcdGateway, prefix: string, codec: ResourceCodec): Promise<void> {
  const stale: { key: string; value: string; revision: string }[] = [];
  for (const folder of ['resources', 'history']) {
    const keys = new ResourceKeys(prefix, folder);
    // The name has the form GROUP/PLURAL/…, and the group of Secrets is empty.
    for await (const { key: name, value = '', mod_revision = '' } of all(gateway, `${prefix}/${folder}//secrets/`)) {
      const key = keys.keyOf(fromBase64(name));
      const plain = decodeValue<unknown>(codec, key, value);
      if (isStaleValue(codec, key, value))
        stale.push({ key: name, value: encodeValue(codec, key, plain), revision: mod_revision });
    }
  }
  for (const { key, value, revision } of stale)
    await gateway.call('/v3/kv/txn', {
      compare: [{ key, target: 'MOD', result: 'EQUAL', mod_revision: revision }],
      success: [{ request_put: { key, value } }],
    });
}
