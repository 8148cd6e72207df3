/**
 * What compiling for proxies found, of all control planes: each publishes what it found for its own proxies, and the leader writes the
 * status of resources from all of it. Records end with the control plane that made them.
 */
import { createHash } from 'node:crypto';
import type { Resource } from '../../shared/resources/resource.ts';
import type { Finding } from '../compile/output/finding.ts';
import type { SharedState, StateChange, StateEntry, StateWrite } from '../store/state/state.ts';
import { FindingTable, type Reporter } from './finding-table.ts';

const FOLDER = 'findings';
const GATHER_MS = 200;
const RETRY_MS = 1000;
/** Writes of one transaction; etcd takes 128. */
const AT_ONCE = 100;
/** Of one resource. */
const MAX_FINDINGS = 32;

type Text = Pick<Finding, 'reason' | 'message'>;
interface Published {
  readonly about: Resource;
  readonly findings: readonly Text[];
}

/** Reports to both: what is found here counts here, too. */
export function reportTo(
  status: SharedFindingsOptions['status'],
  findings: Pick<SharedFindings, 'report'>,
): { report(session: object, found: readonly Finding[]): void } {
  return {
    report(session, found) {
      status.report(session, found);
      findings.report(session, found);
    },
  };
}

export interface SharedFindingsOptions {
  readonly state: SharedState;
  /** Of this control plane. */
  readonly id: string;
  /** Takes what others found, in the place of what the same reporter had found before. */
  readonly status: { report(reporter: Reporter, findings: readonly Finding[]): void };
  readonly onError: (error: unknown) => void;
}

export class SharedFindings {
  private readonly options: SharedFindingsOptions;
  private readonly table = new FindingTable();
  /** By `resourceId`: what is to be published again. */
  private readonly changed = new Map<string, Resource>();
  private readonly published = new Map<string, string>();
  private readonly stop: () => void;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private writing: Promise<void> | undefined;
  private closed = false;

  constructor(options: SharedFindingsOptions) {
    this.options = options;
    const { state } = options;
    this.take(state.entries(FOLDER));
    this.stop = state.onChange(FOLDER, (changes) => this.take(changes));
  }

  /** Of a proxy's session; as StatusWriter.report. */
  report(reporter: object, findings: readonly Finding[]): void {
    for (const [id, resource] of this.table.replace(reporter, findings)) this.changed.set(id, resource);
    if (this.changed.size > 0) this.schedule(GATHER_MS);
  }

  /** Records of this process have ended. */
  publishAgain(): void {
    this.published.clear();
    for (const [id, resource] of this.table.resources()) this.changed.set(id, resource);
    if (this.changed.size > 0) this.schedule(GATHER_MS);
  }

  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.timer);
    this.stop();
    await this.writing;
  }

  private schedule(ms: number): void {
    if (this.closed || this.timer || this.writing) return;
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.writing = this.publish()
        .then(
          () => 0,
          (error) => {
            this.options.onError(error);
            return RETRY_MS;
          },
        )
        .then((wait) => {
          this.writing = undefined;
          if (this.changed.size > 0) this.schedule(wait || GATHER_MS);
        });
    }, ms);
    this.timer.unref?.();
  }

  private async publish(): Promise<void> {
    while (this.changed.size > 0) {
      const batch = [...this.changed].slice(0, AT_ONCE);
      const writes = batch.flatMap(([id, about]): StateWrite[] => {
        const text = this.textOf(id, about);
        const key = `${FOLDER}/${this.options.id}/${createHash('sha256').update(id).digest('hex').slice(0, 32)}`;
        if (text === this.published.get(key)) return [];
        return [{ key, text, ...(text !== undefined && { leased: true }) }];
      });
      if (writes.length > 0) await this.options.state.commit(writes);
      for (const { key, text } of writes)
        if (text === undefined) this.published.delete(key);
        else this.published.set(key, text);
      // Those that changed again meanwhile stay.
      for (const [id, about] of batch) if (this.changed.get(id) === about) this.changed.delete(id);
    }
  }

  private textOf(id: string, { apiVersion, kind, metadata: all }: Resource): string | undefined {
    const found = this.table.of(id).slice(0, MAX_FINDINGS);
    if (found.length === 0) return undefined;
    const { metadata: newest } = found.at(-1)!.about;
    const { name, namespace, uid, generation, resourceVersion } = { ...all, ...newest };
    const about = { apiVersion, kind, metadata: { name, namespace, uid, generation, resourceVersion } } as Resource;
    const findings = found.map(({ reason, message }): Text => ({ reason, message }));
    return JSON.stringify({ about, findings } satisfies Published);
  }

  private take(changes: readonly (StateEntry | StateChange)[]): void {
    for (const { key, text } of changes) {
      const [, replica] = key.split('/');
      if (replica === this.options.id) continue;
      const { about, findings } =
        text === undefined ? { about: undefined, findings: [] } : (JSON.parse(text) as Published);
      this.options.status.report(
        `${FOLDER} of control plane ${key}`,
        findings.map((finding) => ({ ...finding, about: about! })),
      );
    }
  }
}
