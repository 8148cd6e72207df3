/**
 * The last good config of a node on disk, so that a proxy restarted without a control plane serves at once. A change is
 * appended to a journal; the journal is rewritten where what was appended has outgrown it.
 */
import type { Files } from '../runtime/runtime.ts';
import {
  applyDelta,
  type CachedConfig,
  type ConfigDelta,
  deltaTo,
  firstRecord,
  type HeldConfig,
  heldConfig,
  type Journal,
  nextRecord,
  readConfig,
  readJournal,
  sha256,
} from './config-journal.ts';

export type { CachedConfig, CachedResource } from './config-journal.ts';

const FILE = 'config.journal';
/** What versions before the journal wrote: all config at each change. */
const OLD_FILE = 'config.json';
const OLD_FORMAT = 1;
/** Mode of the file: it may hold the keys of gateways. */
const MODE = 0o600;
/** Appended bytes that a small config may have before it is rewritten. */
const FREE_BYTES = 256 * 1024;

/** What is on disk, and where the next record goes. */
type Written = Pick<Journal, 'nodeId' | 'config' | 'checksum' | 'firstSize' | 'size'>;

export class DiskCache {
  private readonly files: Files;
  private readonly folder: string;
  private readonly warn: (line: string) => void;
  private next: { nodeId: string; config: CachedConfig } | undefined;
  private writing: Promise<void> | undefined;
  private held = false;
  /** Undefined: there is no journal to append to. */
  private written: Written | undefined;

  /** @param warn takes one line when the cache cannot be read or written; neither stops the proxy */
  constructor(files: Files, folder: string, warn: (line: string) => void) {
    this.files = files;
    this.folder = folder;
    this.warn = warn;
  }

  private get path(): string {
    return `${this.folder}/${FILE}`;
  }

  private get oldPath(): string {
    return `${this.folder}/${OLD_FILE}`;
  }

  /**
   * What this node last ran; undefined when there is nothing, it is another node's, or it is damaged (logged once). Of a
   * write that was cut short the state before it is what counts.
   */
  async load(nodeId: string): Promise<CachedConfig | undefined> {
    const old = await this.readFile(this.oldPath, (bytes) => parseOld(bytes, nodeId));
    if (old) {
      // A version before the journal ran last. Its file goes: it would be stale after the next change.
      await this.write(nodeId, old);
      return old;
    }
    const journal = await this.readFile(this.path, readJournal);
    if (journal?.nodeId !== nodeId) return undefined;
    if (journal.cutShort) this.warn(`config cache ${this.path}: its last change is lost, it was cut short`);
    else this.written = journal;
    return listed(journal.config);
  }

  private async readFile<Content>(
    path: string,
    parse: (bytes: Uint8Array) => Promise<Content>,
  ): Promise<Content | undefined> {
    try {
      const bytes = await this.files.read(path);
      return bytes && (await parse(bytes));
    } catch (error) {
      this.warn(`config cache ${path} is ignored: ${reason(error)}; config will come from the control plane`);
      return undefined;
    }
  }

  /**
   * Saves soon, the latest state if several come at once. A resource that did not change must be the object that was
   * loaded or saved before, else it is written again.
   */
  save(nodeId: string, config: CachedConfig): void {
    this.next = { nodeId, config };
    this.writeSoon();
  }

  /** Leaves the files to another process, once what is being written is written. @returns ends that */
  async hold(): Promise<() => void> {
    this.held = true;
    await this.writing;
    return () => {
      this.held = false;
      this.writeSoon();
    };
  }

  private writeSoon(): void {
    this.writing ??= this.drain().finally(() => {
      this.writing = undefined;
    });
  }

  /** All that was saved so far is on disk. */
  async flush(): Promise<void> {
    while (this.writing) await this.writing;
  }

  private async drain(): Promise<void> {
    while (this.next && !this.held) {
      const { nodeId, config } = this.next;
      this.next = undefined;
      await this.write(nodeId, config);
    }
  }

  private async write(nodeId: string, config: CachedConfig): Promise<void> {
    const { written } = this;
    // Until the write has succeeded the file's end is not known.
    this.written = undefined;
    try {
      const appended = written?.nodeId === nodeId && (await this.append(written, config));
      this.written = appended || (await this.rewrite(nodeId, config));
    } catch (error) {
      this.warn(`config cache ${this.path} cannot be written: ${reason(error)}`);
    }
  }

  /** @returns undefined where the journal must be rewritten */
  private async append(written: Written, config: CachedConfig): Promise<Written | undefined> {
    const delta = deltaTo(written.config, config);
    if (!delta) return written;
    if (replacesSecret(written.config, delta)) return undefined;
    const { bytes, checksum } = await nextRecord(written.checksum, delta);
    const size = written.size + bytes.length;
    if (size > 2 * written.firstSize + FREE_BYTES) return undefined;
    try {
      await this.files.append(this.path, bytes, written.size);
    } catch {
      // It was removed or changed by another process, or the disk is full: what is wrong shows when it is rewritten.
      return undefined;
    }
    applyDelta(written.config, delta);
    return { ...written, checksum, size };
  }

  private async rewrite(nodeId: string, config: CachedConfig): Promise<Written> {
    const { bytes, checksum } = await firstRecord(nodeId, config);
    await this.files.makeFolder(this.folder, 0o700);
    await this.files.writeAtomic(this.path, bytes, MODE);
    await this.files.remove(this.oldPath);
    return { nodeId, config: heldConfig(config), checksum, firstSize: bytes.length, size: bytes.length };
  }
}

/** A key that is no longer used must not stay on disk in an earlier record. */
function replacesSecret(held: HeldConfig, { secrets }: ConfigDelta): boolean {
  return (
    secrets !== undefined && (secrets.remove.length > 0 || secrets.upsert.some(({ name }) => held.secrets.has(name)))
  );
}

function listed(held: HeldConfig): CachedConfig {
  return Object.fromEntries(Object.entries(held).map(([type, map]) => [type, [...map.values()]])) as CachedConfig;
}

/** The file before the journal: the SHA-256 of what follows in hex, a newline, JSON. @throws Error saying what is wrong */
async function parseOld(bytes: Uint8Array, nodeId: string): Promise<CachedConfig | undefined> {
  const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  const content = text.slice(65);
  if (text[64] !== '\n' || text.slice(0, 64) !== (await sha256(new TextEncoder().encode(content))))
    throw new Error('its checksum does not match');
  const file = JSON.parse(content) as { format?: unknown; nodeId?: unknown; config?: unknown };
  if (file.format !== OLD_FORMAT) throw new Error('it has another format');
  return file.nodeId === nodeId ? readConfig(file.config) : undefined;
}

const reason = (error: unknown): string => (error instanceof Error ? error.message : String(error));
