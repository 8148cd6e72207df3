/** `npm run docs`: rewrites docs/resources, and removes pages of removed kinds. */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { resourcePages } from './resource-pages.ts';

const folder = fileURLToPath(new URL('../../docs/resources/', import.meta.url));
const pages = resourcePages();
mkdirSync(folder, { recursive: true });
for (const name of readdirSync(folder)) if (!pages.has(name)) rmSync(folder + name);
for (const [name, text] of pages) writeFileSync(folder + name, text);
process.stdout.write(`${pages.size} pages in docs/resources\n`);
