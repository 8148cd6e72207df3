/** The pages of docs/resources, made from the descriptions of the kinds: one page a kind, one section a message. */
import {
  type Description,
  describe,
  type Field,
  fieldsOf,
  inner,
  type ShapeOf,
  typeName,
} from '../../shared/resources/describe/description.ts';
import { constraints } from '../../shared/resources/describe/description-text.ts';
import { objectMeta } from '../../shared/resources/describe/resource-description.ts';
import type { Kind } from '../../shared/resources/kind.ts';
import { MeshConfig } from '../../shared/resources/mesh-config/mesh-config.ts';
import { MeshNetworks } from '../../shared/resources/mesh-config/mesh-networks.ts';
import { kinds } from '../../shared/resources/registry.ts';

const NOTE = '<!-- Made by `npm run docs` from shared/resources. Change the descriptions there. -->';

const CONFIGS = [
  {
    name: 'MeshConfig',
    schema: MeshConfig,
    says: 'Settings of the whole mesh: YAML under key `mesh` of ConfigMap `istio` in the root namespace.',
  },
  {
    name: 'MeshNetworks',
    schema: MeshNetworks,
    says: 'Networks and the gateways between them: YAML under key `meshNetworks` of ConfigMap `istio` in the root namespace.',
  },
] as const;

/** Text of every page by its file name below docs/resources. */
export function resourcePages(): Map<string, string> {
  const pages = new Map<string, string>([['README.md', index()]]);
  for (const kind of kinds) pages.set(fileOfKind(kind), kindPage(kind));
  for (const { name, schema, says } of CONFIGS) pages.set(fileOf(name), page(name, [says], describe(schema), ''));
  const metadata = { text: '', rules: [], shape: objectMeta() };
  const says = 'What every resource has under `metadata`. Annotations and labels of Istio keep their meaning.';
  pages.set('metadata.md', page('metadata', [says], metadata, 'metadata'));
  return pages;
}

/** Two kinds of one name are the same in two groups. */
const fileOfKind = ({ kind, group, stored }: Kind) => fileOf(stored ? `${kind}.${group}` : kind);
const fileOf = (name: string) => `${name.toLowerCase()}.md`;

function index(): string {
  const row = (name: string, group: string, says: string, file = fileOf(name)) =>
    `| [${name}](${file}) | ${group} | ${markdown(says)} |`;
  const rows = kinds.map((kind) =>
    row(kind.kind, `${kind.group || 'core'} ${kind.versions.join(', ')}`, kind.description, fileOfKind(kind)),
  );
  return [
    '# Resources',
    '',
    NOTE,
    '',
    'Every kind and every field. `tulle explain KIND.FIELD` prints the same offline, `kubectl explain` over the API. All versions of',
    'a kind have the same fields: a resource written in one can be read in another.',
    '',
    '| kind | group and versions | |',
    '|---|---|---|',
    ...rows,
    '',
    'Beside them:',
    '',
    '| | | |',
    '|---|---|---|',
    ...CONFIGS.map(({ name, says }) => row(name, 'in a ConfigMap', says)),
    row('metadata', 'every kind', 'Names, labels, annotations.'),
    '',
  ].join('\n');
}

function kindPage(kind: Kind): string {
  const { group, versions, plural, singular, shortNames, namespaced } = kind;
  const facts = [
    ['apiVersion', versions.map((version) => `\`${group ? `${group}/` : ''}${version}\``).join(', ')],
    ['names', [plural, singular, ...shortNames].map((name) => `\`${name}\``).join(', ')],
    ['scope', namespaced ? 'a namespace' : 'the whole mesh'],
    ['metadata', '[as every kind](metadata.md)'],
  ];
  const table = ['| | |', '|---|---|', ...facts.map((cells) => `| ${cells.join(' | ')} |`)];
  return page(kind.kind, [markdown(kind.description), '', ...table], describe(kind.body), '');
}

interface Section {
  path: string;
  description: Description;
}

/** Sections of nearer messages first; a message used in several places has one section, at its first. */
function page(title: string, intro: readonly string[], root: Description, path: string): string {
  const sections: Section[] = [{ path, description: root }];
  const lines = [`# ${title}`, '', NOTE, '', ...intro, ''];
  const first = (description: Description) => sections.find((each) => sameMessage(each.description, description));
  for (let i = 0; i < sections.length; i++) {
    const { path: here, description } = sections[i]!;
    for (const field of fieldsOf(description)) {
      if (hasFields(field.description) && !first(field.description)) {
        sections.push({ path: pathOf(here, field), description: field.description });
      }
    }
  }
  for (const section of sections) lines.push(...sectionOf(section, (field) => first(field.description)?.path));
  return `${lines.join('\n').trimEnd()}\n`;
}

function sectionOf({ path, description }: Section, sectionPath: (field: Field) => string | undefined): string[] {
  const rules = constraints(inner(description));
  return [
    ...(path === '' ? [] : [`<a id="${anchor(path)}"></a>`, '', `## ${path}`, '']),
    ...(path === '' || description.text === '' ? [] : [markdown(description.text), '']),
    ...rules.map((rule) => `- ${markdown(rule)}`),
    ...(rules.length > 0 ? [''] : []),
    '| field | type | default | |',
    '|---|---|---|---|',
    ...fieldsOf(description).map((field) => rowOf(field, path, sectionPath)),
    '',
  ];
}

function rowOf(field: Field, path: string, sectionPath: (field: Field) => string | undefined): string {
  const { name, required, description } = field;
  const section = hasFields(description) ? sectionPath(field) : undefined;
  const type = markdown(typeName(description));
  const linked = section === undefined ? type : `[${type}](#${anchor(section)})`;
  const away = section !== undefined && section !== pathOf(path, field) ? ` Fields as in ${section}.` : '';
  const cells = [
    `\`${name}\``,
    `${linked}${required ? ', **required**' : ''}`,
    markdown(description.defaultsTo ?? ''),
    `${[markdown(description.text), ...remarks(description)].filter(Boolean).join(' ')}${markdown(away)}`,
  ];
  return `| ${cells.join(' | ')} |`;
}

/** Names, limits and rules of the entries of lists and maps; a message's own are in its section. */
function remarks(description: Description): string[] {
  const names = namesIn(description);
  const said = hasFields(description) ? ownConstraints(description) : constraints(description);
  const below = belowTexts(description);
  return [
    ...below.map((text) => `Each: ${markdown(text)}`),
    ...(names.length > 0 ? [`One of ${names.map((name) => `\`${name}\``).join(', ')}.`] : []),
    ...(said.length > 0 ? [markdown(`Rules: ${said.join('; ')}.`)] : []),
  ];
}

/** Of a list or map of messages; a message's rules are in its section. */
function ownConstraints(description: Description): string[] {
  const below = constraints(inner(description));
  return constraints(description).filter((each) => !each.startsWith('each ') && !below.includes(each));
}

function namesIn(description: Description): readonly string[] {
  const { shape } = inner(description);
  return shape.type === 'string' ? shape.names : [];
}

function belowTexts({ shape }: Description): string[] {
  const below = shape.type === 'list' ? shape.items : shape.type === 'map' ? shape.values : undefined;
  return below ? [...(below.text === '' ? [] : [below.text]), ...belowTexts(below)] : [];
}

const hasFields = (description: Description) => fieldsOf(description).length > 0;

/** Copies of a schema that differ in their documentation only share the descriptions of their fields. */
function sameMessage(one: Description, other: Description): boolean {
  const [a, b] = [one, other].map((each) => inner(each).shape as ShapeOf<'object'>);
  return (
    a!.fields.length === b!.fields.length &&
    a!.fields.every((field, i) => field.description === b!.fields[i]!.description)
  );
}

function pathOf(parent: string, { name, description }: Field): string {
  return `${parent === '' ? '' : `${parent}.`}${name}${suffix(description)}`;
}

function suffix({ shape }: Description): string {
  if (shape.type === 'list') return `[]${suffix(shape.items)}`;
  return shape.type === 'map' ? `.*${suffix(shape.values)}` : '';
}

const anchor = (path: string) => path.replace(/[^A-Za-z0-9_.]/g, '');

/** Text as Markdown shows it unchanged, in a cell too; text in backquotes is code already. */
function markdown(text: string): string {
  return text
    .split(/(`[^`]*`)/)
    .map((part, i) => (i % 2 === 1 ? part.replaceAll('|', '\\|') : part.replace(/[\\*_{}[\]<>|~]/g, '\\$&')))
    .join('');
}
