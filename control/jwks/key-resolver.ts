/**
 * Keeps the keys of the issuers that RequestAuthentications name: fetched, refreshed, fetched again soon after a failure.
 * Keys that were fetched stay in force while their source is away.
 */
import { type KeySets, type KeySetText, type KeySource, sourceId } from '../mesh/key-sets.ts';
import { FetchError, type KeyFetcher } from './key-fetcher.ts';
import { fetchKeys, type WantedSource } from './key-source.ts';

/** Of a source: the reason why its last fetch failed, and whether keys of an earlier one are in force. */
export interface SourceState {
  readonly failure: string | undefined;
  readonly hasKeys: boolean;
}

export interface KeyResolverOptions {
  readonly fetcher: KeyFetcher;
  /** Milliseconds between fetches of the same keys. */
  readonly refreshMs: number;
  /** Keys of an earlier process. */
  readonly known: ReadonlyMap<string, string>;
  /** Characters of the keys of all sources together; default: `MAX_KEYS`. */
  readonly maxKeys?: number;
  /** [0, 1) */
  readonly random: () => number;
  /** Other keys are in force. */
  readonly onKeys: (keys: KeySets) => void;
  /** A source failed, or answers again. */
  readonly onState: (id: string, state: SourceState) => void;
  readonly onError: (error: unknown) => void;
}

/** Anybody who may write a RequestAuthentication names sources: their keys are kept in memory, in one file, and sent to proxies. */
const MAX_KEYS = 64 * 1024 * 1024;
/** After a failure; doubled with each further one, up to the interval of refreshes. */
const FIRST_RETRY_MS = 1000;
/** Share of an interval by which it varies, so that issuers are not all asked at once. */
const JITTER = 0.1;

interface Entry {
  wanted: WantedSource;
  keys: KeySetText | undefined;
  failure: string | undefined;
  failures: number;
  timer: ReturnType<typeof setTimeout> | undefined;
}

export class KeyResolver {
  private readonly options: KeyResolverOptions;
  private readonly entries = new Map<string, Entry>();
  private stopped = false;

  constructor(options: KeyResolverOptions) {
    this.options = options;
  }

  /** The sources to keep keys of, by `sourceId`; others are forgotten. */
  want(wanted: ReadonlyMap<string, WantedSource>): void {
    let changed = false;
    for (const [id, entry] of this.entries) {
      if (wanted.has(id)) continue;
      clearTimeout(entry.timer);
      this.entries.delete(id);
      changed ||= entry.keys !== undefined;
    }
    for (const [id, source] of wanted) {
      const entry = this.entries.get(id);
      if (entry) entry.wanted = source;
      else changed = this.begin(id, source) || changed;
    }
    if (changed) this.publish();
  }

  state(source: KeySource): SourceState | undefined {
    const entry = this.entries.get(sourceId(source));
    return entry && { failure: entry.failure, hasKeys: entry.keys !== undefined };
  }

  stop(): void {
    this.stopped = true;
    for (const { timer } of this.entries.values()) clearTimeout(timer);
  }

  /** @returns whether it has keys already */
  private begin(id: string, wanted: WantedSource): boolean {
    const text = this.options.known.get(id);
    const keys = text === undefined ? undefined : { text };
    const entry: Entry = { wanted, keys, failure: undefined, failures: 0, timer: undefined };
    this.entries.set(id, entry);
    this.schedule(id, entry, 0);
    return keys !== undefined;
  }

  private schedule(id: string, entry: Entry, ms: number): void {
    if (this.stopped || this.entries.get(id) !== entry) return;
    entry.timer = setTimeout(() => void this.refresh(id, entry).catch(this.options.onError), ms);
    entry.timer.unref?.();
  }

  private async refresh(id: string, entry: Entry): Promise<void> {
    let text: string | undefined;
    let failure: string | undefined;
    try {
      text = await fetchKeys(this.options.fetcher, entry.wanted);
      this.checkRoom(entry, text);
    } catch (error) {
      if (!(error instanceof FetchError)) this.options.onError(error);
      failure = error instanceof FetchError ? error.message : 'unexpected error';
      text = undefined;
    }
    if (this.stopped || this.entries.get(id) !== entry) return;
    entry.failures = failure === undefined ? 0 : entry.failures + 1;
    this.schedule(id, entry, this.pauseAfter(entry.failures));
    const isOther = text !== undefined && text !== entry.keys?.text;
    if (isOther) entry.keys = { text: text! };
    const stateChanged = failure !== entry.failure;
    entry.failure = failure;
    if (isOther) this.publish();
    if (stateChanged) this.options.onState(id, { failure, hasKeys: entry.keys !== undefined });
  }

  /** @throws FetchError where the keys would be too many with those of the other sources */
  private checkRoom(entry: Entry, text: string): void {
    const { maxKeys = MAX_KEYS } = this.options;
    let size = text.length;
    for (const other of this.entries.values()) if (other !== entry) size += other.keys?.text.length ?? 0;
    if (size > maxKeys) throw new FetchError(`the keys of all issuers together are more than ${maxKeys} characters`);
  }

  private pauseAfter(failures: number): number {
    const { refreshMs, random } = this.options;
    const ms = failures === 0 ? refreshMs : Math.min(refreshMs, FIRST_RETRY_MS * 2 ** Math.min(failures - 1, 20));
    return ms * (1 - JITTER + 2 * JITTER * random());
  }

  private publish(): void {
    const keys = [...this.entries].flatMap(([id, entry]) => (entry.keys ? [[id, entry.keys] as const] : []));
    this.options.onKeys(new Map(keys));
  }
}
