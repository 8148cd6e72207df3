/** A host in memory, with systemd and useradd, one of whose changes fails. */
import { dirname } from 'node:path';
import type { Host, Ran } from '../host/host.ts';

const done: Ran = { code: 0, out: '', error: '' };
const refused: Ran = { code: 1, out: '', error: 'refused' };

export class MemoryHost implements Host {
  readonly uid = 0;
  readonly files = new Map<string, string>();
  readonly started = new Set<string>();
  /** Changes so far. */
  changes = 0;
  private readonly failAt: number;

  /** @param failAt the number of the change that fails, from 1; 0: none */
  constructor(failAt = 0) {
    this.failAt = failAt;
    this.files.set('/etc/passwd', 'root:x:0:0::/root:/bin/sh\n');
    this.files.set('/etc/systemd/system/', '');
    this.files.set('/etc/systemd/system/app.service', '[Service]\n');
  }

  /** Everything there is to compare. */
  state(): unknown {
    return { files: [...this.files].sort(), started: [...this.started].sort() };
  }

  async run([program, ...args]: readonly string[]): Promise<Ran> {
    const words = args.filter((word) => !word.startsWith('-'));
    if (program === 'systemctl' || program === 'useradd') {
      const [verb, ...units] = words;
      if (verb === 'cat') return this.files.has(`/etc/systemd/system/${units[0]}`) ? done : refused;
      if (this.fails()) return refused;
      if (verb === 'start') for (const unit of units) this.started.add(unit);
      if (verb === 'disable') for (const unit of units) this.started.delete(unit);
      if (program === 'useradd') this.passwd((lines) => [...lines, 'tulle:x:999:999::/:/sbin/nologin']);
    }
    if (program === 'userdel') this.passwd((lines) => lines.filter((line) => !line.startsWith('tulle:')));
    if (program === 'id') return refused;
    return done;
  }

  async read(path: string): Promise<string | undefined> {
    return this.files.get(path);
  }

  async write(path: string, text: string): Promise<void> {
    if (this.fails()) throw new Error(`${path}: disk full`);
    this.files.set(path, text);
  }

  async makeFolder(path: string): Promise<void> {
    if (this.fails()) throw new Error(`${path}: read-only`);
    this.files.set(`${path}/`, '');
  }

  async exists(path: string): Promise<boolean> {
    return this.files.has(path) || this.files.has(`${path}/`);
  }

  async remove(path: string): Promise<void> {
    for (const name of [...this.files.keys()])
      if (name === path || name.startsWith(`${path}/`)) this.files.delete(name);
  }

  async removeEmptyFolder(path: string): Promise<void> {
    if (![...this.files.keys()].some((name) => dirname(name) === path && name !== `${path}/`))
      this.files.delete(`${path}/`);
  }

  private passwd(change: (lines: string[]) => string[]): void {
    const lines = this.files.get('/etc/passwd')!.trimEnd().split('\n');
    this.files.set('/etc/passwd', `${change(lines).join('\n')}\n`);
  }

  private fails(): boolean {
    return ++this.changes === this.failAt;
  }
}
