/** `tulle compile`: the resources one proxy would be sent. Needs no control plane. */
import { readFile } from 'node:fs/promises';
import { stringify } from 'yaml';
import { Node } from '../../shared/xds/core.ts';
import { type Compiled, compileWithNotes } from '../compile/node/node.ts';
import { NodeError } from '../compile/scope/proxy.ts';
import { buildView } from '../mesh/build-view.ts';
import { MeshConfigError } from '../mesh/mesh-config.ts';
import { CliError } from './cli-error.ts';
import { note as printNote } from './output.ts';
import { checkSources, type SourcePaths } from './sources.ts';

export interface CompileOptions {
  output: 'json' | 'yaml';
}

/**
 * Prints the snapshot on stdout and untranslatable resources on stderr.
 * @returns the exit code
 * @throws CliError when a resource is invalid (naming every violation) or the node cannot be read
 */
export async function runCompile(from: SourcePaths, nodeFile: string, options: CompileOptions): Promise<number> {
  const node = await readNode(nodeFile);
  const sources = await checkSources(from);
  const { snapshot, notes } = compile(
    sources.map((source) => source.resource),
    node,
  );
  for (const note of notes) printNote(`note: ${note}`);
  const { listeners, routes, virtualHosts, clusters, endpoints, secrets } = snapshot;
  const value = { listeners, routes, ...(virtualHosts && { virtualHosts }), clusters, endpoints, secrets };
  process.stdout.write(options.output === 'yaml' ? stringify(value) : `${JSON.stringify(value, null, 2)}\n`);
  return 0;
}

function compile(resources: Parameters<typeof buildView>[0], node: Node): Compiled {
  try {
    return compileWithNotes(buildView(resources, 0), node);
  } catch (error) {
    if (error instanceof NodeError || error instanceof MeshConfigError) throw new CliError(error.message);
    throw error;
  }
}

async function readNode(file: string): Promise<Node> {
  let content: string;
  try {
    content = await readFile(file, 'utf8');
  } catch (cause) {
    throw new CliError(`--node ${file}: cannot be read (${(cause as NodeJS.ErrnoException).code ?? 'error'})`);
  }
  let value: unknown;
  try {
    value = JSON.parse(content);
  } catch {
    throw new CliError(`--node ${file}: is not JSON`);
  }
  const parsed = Node.safeParse(value);
  if (parsed.success) return parsed.data;
  const violations = parsed.error.issues.map((issue) => `${issue.path.join('.') || 'node'}: ${issue.message}`);
  throw new CliError(`--node ${file}: ${violations.join('; ')}`);
}
