/** How a store writes resources: as JSON, and Secrets through the sealer. */
import type { Resource } from '../../../shared/resources/resource.ts';
import type { ResourceKey } from '../store.ts';
import { plainSealer, type Sealer } from './sealer.ts';

export class ResourceCodec {
  readonly sealer: Sealer;

  constructor(sealer: Sealer = plainSealer) {
    this.sealer = sealer;
  }

  /** @param value JSON @returns text, or the bytes of a Secret that were sealed */
  encode(key: ResourceKey, value: unknown): string | Uint8Array {
    const text = JSON.stringify(value);
    if (!isSealed(key)) return text;
    const plain = Buffer.from(text);
    const bytes = this.sealer.seal(placeOf(key), plain);
    return bytes === plain ? text : bytes;
  }

  /** @throws Error in one line where it cannot be opened */
  decode<T = Resource>(key: ResourceKey, stored: string | Uint8Array): T {
    if (typeof stored === 'string') return JSON.parse(stored) as T;
    const bytes = this.sealer.open(placeOf(key), stored);
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString()) as T;
  }

  /** Whether a value should be written again. */
  isStale(key: ResourceKey, stored: string | Uint8Array): boolean {
    return isSealed(key) && this.sealer.isStale(typeof stored === 'string' ? Buffer.from(stored) : stored);
  }
}

/** Kinds that hold secrets. */
export const isSealed = ({ group, plural }: Pick<ResourceKey, 'group' | 'plural'>): boolean =>
  group === '' && plural === 'secrets';

const placeOf = ({ namespace, name }: ResourceKey): string => `resources/secrets/${namespace}/${name}`;
