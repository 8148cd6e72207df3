/** `npm run docs`: rewrites docs/resources, docs/istio-compatibility.md and deploy/kubernetes/crds.yaml, and removes pages of removed kinds. */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { compatibilityPage } from './compatibility.ts';
import { customResourceDefinitions } from './custom-resource-definitions.ts';
import { resourcePages } from './resource-pages.ts';

const folder = fileURLToPath(new URL('../../docs/resources/', import.meta.url));
const pages = resourcePages();
mkdirSync(folder, { recursive: true });
for (const name of readdirSync(folder)) if (!pages.has(name)) rmSync(folder + name);
for (const [name, text] of pages) writeFileSync(folder + name, text);
writeFileSync(fileURLToPath(new URL('../../docs/istio-compatibility.md', import.meta.url)), compatibilityPage());
writeFileSync(
  fileURLToPath(new URL('../../deploy/kubernetes/crds.yaml', import.meta.url)),
  customResourceDefinitions(),
);
process.stdout.write(
  `${pages.size} pages in docs/resources, and docs/istio-compatibility.md, and deploy/kubernetes/crds.yaml\n`,
);
