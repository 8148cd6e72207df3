/** The last good config of a node in one file, so that a proxy restarted without a control plane serves at once. */
import { RESOURCE_TYPES, type ResourceType } from '../../shared/xds/discovery.ts';
import type { Files } from '../runtime/runtime.ts';

/** One accepted resource as received, with its version. */
export interface CachedResource {
  readonly name: string;
  readonly version: string;
  readonly resource: Readonly<Record<string, unknown>>;
}
export type CachedConfig = { [T in ResourceType]: CachedResource[] };

const FORMAT = 1;
const FILE = 'config.json';

export class DiskCache {
  private readonly files: Files;
  private readonly folder: string;
  private readonly warn: (line: string) => void;
  private next: { nodeId: string; config: CachedConfig } | undefined;
  private writing: Promise<void> | undefined;

  /** @param warn takes one line when the cache cannot be read or written; neither stops the proxy */
  constructor(files: Files, folder: string, warn: (line: string) => void) {
    this.files = files;
    this.folder = folder;
    this.warn = warn;
  }

  private get path(): string {
    return `${this.folder}/${FILE}`;
  }

  /** What this node last ran; undefined when there is nothing, it is another node's, or it is damaged (said once). */
  async load(nodeId: string): Promise<CachedConfig | undefined> {
    try {
      const bytes = await this.files.read(this.path);
      return bytes && (await parse(bytes, nodeId));
    } catch (error) {
      this.warn(`config cache ${this.path} is ignored: ${reason(error)}; config will come from the control plane`);
      return undefined;
    }
  }

  /** Saves soon, the latest state if several come at once. Mode 0600: it may hold the keys of gateways. */
  save(nodeId: string, config: CachedConfig): void {
    this.next = { nodeId, config };
    this.writing ??= this.drain().finally(() => {
      this.writing = undefined;
    });
  }

  /** All that was saved so far is on disk. */
  async flush(): Promise<void> {
    while (this.writing) await this.writing;
  }

  private async drain(): Promise<void> {
    while (this.next) {
      const { nodeId, config } = this.next;
      this.next = undefined;
      try {
        const content = JSON.stringify({ format: FORMAT, nodeId, config });
        const file = `${await sha256(content)}\n${content}`;
        await this.files.makeFolder(this.folder, 0o700);
        await this.files.writeAtomic(this.path, new TextEncoder().encode(file), 0o600);
      } catch (error) {
        this.warn(`config cache ${this.path} cannot be written: ${reason(error)}`);
      }
    }
  }
}

/** The file: the SHA-256 of what follows in hex, a newline, JSON. @throws Error saying what is wrong */
async function parse(bytes: Uint8Array, nodeId: string): Promise<CachedConfig | undefined> {
  const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  const content = text.slice(65);
  if (text[64] !== '\n' || text.slice(0, 64) !== (await sha256(content)))
    throw new Error('its checksum does not match');
  const file = JSON.parse(content) as { format?: unknown; nodeId?: unknown; config?: Record<string, unknown> };
  if (file.format !== FORMAT) throw new Error('it has another format');
  if (file.nodeId !== nodeId) return undefined;
  const config = {} as CachedConfig;
  for (const type of RESOURCE_TYPES) {
    const list = file.config?.[type];
    if (!Array.isArray(list) || !list.every(isCached)) throw new Error(`its ${type} are malformed`);
    config[type] = list;
  }
  return config;
}

function isCached(value: unknown): value is CachedResource {
  const { name, version, resource } = (value ?? {}) as Record<string, unknown>;
  return typeof name === 'string' && typeof version === 'string' && typeof resource === 'object' && resource !== null;
}

async function sha256(text: string): Promise<string> {
  const hash = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text));
  return Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

const reason = (error: unknown): string => (error instanceof Error ? error.message : String(error));
