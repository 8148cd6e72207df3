/** The files that Envoy watches: only a rename into place makes it read one. */
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { CLUSTERS_FILE, LISTENERS_FILE } from './envoy-bootstrap.ts';
import { fileOf, type NamedType, responseOf } from './envoy-resources.ts';

const LISTS = { clusters: CLUSTERS_FILE, listeners: LISTENERS_FILE } as const;
export type ListType = keyof typeof LISTS;

export class EnvoyFiles {
  readonly folder: string;
  private versions = 0;

  /** @param folder absolute; readable for this user alone, as it holds keys */
  constructor(folder: string) {
    this.folder = folder;
  }

  /** Empty lists, and nothing else: files of an earlier run are removed. */
  async begin(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
    for (const type of ['endpoints', 'routes', 'secrets'] as const)
      await mkdir(dirname(fileOf(this.folder, type, '')), { recursive: true, mode: 0o700 });
    await this.writeList('clusters', []);
    await this.writeList('listeners', []);
  }

  writeList(type: ListType, resources: readonly unknown[]): Promise<void> {
    return this.write(join(this.folder, LISTS[type]), responseOf(type, resources, this.nextVersion()));
  }

  writeNamed(type: NamedType, name: string, resource: unknown): Promise<void> {
    return this.write(fileOf(this.folder, type, name), responseOf(type, [resource], this.nextVersion()));
  }

  removeNamed(type: NamedType, name: string): Promise<void> {
    return rm(fileOf(this.folder, type, name), { force: true });
  }

  get bootstrapFile(): string {
    return join(this.folder, 'bootstrap.json');
  }

  async writeBootstrap(bootstrap: object): Promise<string> {
    await this.write(this.bootstrapFile, `${JSON.stringify(bootstrap)}\n`);
    return this.bootstrapFile;
  }

  private nextVersion(): string {
    this.versions++;
    return String(this.versions);
  }

  private async write(file: string, text: string): Promise<void> {
    if ((await readFile(file, 'utf8').catch(() => undefined)) === text) return;
    const next = `${file}.next`;
    await writeFile(next, text, { mode: 0o600 });
    await rename(next, file);
  }
}
