/** Encryption keys as text: a line for each, `ID:BASE64`, the newest first. */
import type { SealingKey } from './key-sealer.ts';

const LINE = /^([a-z0-9][a-z0-9.-]{0,62}):([A-Za-z0-9+/]{43}=)$/;

/** @param source named in errors; keys are not. @throws Error in one line */
export function readKeys(text: string, source: string): SealingKey[] {
  const keys: SealingKey[] = [];
  text.split('\n').forEach((raw, at) => {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) return;
    const [, id, key] = LINE.exec(line) ?? [];
    if (id === undefined || key === undefined)
      throw new Error(`${source}: line ${at + 1} must be ID:KEY, the key 32 bytes in base64 (openssl rand -base64 32)`);
    if (keys.some((each) => each.id === id)) throw new Error(`${source}: line ${at + 1}: the id ${id} is there twice`);
    keys.push({ id, key: Buffer.from(key, 'base64') });
  });
  if (keys.length === 0) throw new Error(`${source}: holds no key`);
  return keys;
}
