/** The cases of shared/reference/istiod-golden: what a real istiod was given, for which proxies, and what it made. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import type { Resource } from '../../../../shared/resources/resource.ts';
import { DEFAULT_SETTINGS, parseMeshConfig } from '../../../mesh/mesh-config.ts';
import type { Golden } from '../golden-compare.ts';
import { documentsOf, REFERENCE } from '../reference.ts';
import type { CompileInput } from './input.ts';

export const GOLDEN = 'istiod-golden/cases/';
const SAMPLES = 'istiod-golden/samples/';

export interface GoldenInput extends CompileInput {
  /** Name of the case, the same for its proxies. */
  readonly name: string;
  readonly golden: Golden;
}

const textOf = (url: URL): string => readFileSync(url, 'utf8');

/** Our own cases, then Istio's samples whose files are there. */
export function goldenInputs(): GoldenInput[] {
  return [
    ...casesIn(GOLDEN, (folder) => documentsOf(textOf(new URL('config.yaml', folder)))),
    ...casesIn(SAMPLES, sampleDocuments),
  ];
}

function casesIn(path: string, documents: (folder: URL) => unknown[] | undefined): GoldenInput[] {
  const root = new URL(path, REFERENCE);
  return readdirSync(root).flatMap((name) => {
    const folder = new URL(`${name}/`, root);
    const given = documents(folder) as Resource[] | undefined;
    return given ? proxiesOf(name, folder, given) : [];
  });
}

/** The registry, then the files of the sample, of which the later counts; undefined: one is not there. */
function sampleDocuments(folder: URL): unknown[] | undefined {
  const { files } = JSON.parse(textOf(new URL('case.json', folder))) as { files: string[] };
  const urls = files.map((file) => new URL(file, REFERENCE));
  if (!urls.every((url) => existsSync(url))) return undefined;
  const all = [new URL('registry.yaml', folder), ...urls].flatMap((url) => documentsOf(textOf(url)) as Resource[]);
  const key = ({ kind, metadata }: Resource) => `${kind} ${metadata.namespace ?? 'default'}/${metadata.name}`;
  return [...new Map(all.map((resource) => [key(resource), resource])).values()];
}

function proxiesOf(name: string, folder: URL, documents: readonly Resource[]): GoldenInput[] {
  const mesh = new URL('mesh.yaml', folder);
  const settings = existsSync(mesh) ? parseMeshConfig(textOf(mesh)) : DEFAULT_SETTINGS;
  return readdirSync(new URL('xds/', folder)).map((file) => {
    const golden = JSON.parse(textOf(new URL(`xds/${file}`, folder))) as Golden;
    const rejected = new Set(golden.rejected.map((item) => Number(item.document)));
    const [region = '', zone = '', subZone = ''] = golden.proxy.locality.split('/');
    return {
      name,
      label: `${name}/${file.replace('.json', '')}`,
      golden,
      resources: documents.filter((_, index) => !rejected.has(index)),
      settings,
      node: { id: golden.proxy.nodeId, metadata: golden.proxy.metadata, locality: { region, zone, subZone } },
    };
  });
}
