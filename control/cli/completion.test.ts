import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { afterAll, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../tests/kit/environment.ts';
import { outputOf } from '../../tests/kit/process.ts';
import { candidates, completionScript } from './completion.ts';
import { registerResourceCommands } from './resources/commands.ts';

const program = new Command('tulle');
registerResourceCommands(program);
program.command('proxy-config').argument('<type>').argument('<proxy>');
program.command('__complete', { hidden: true });
const folder = temporaryFolder();
afterAll(() => folder.dispose());

describe('candidates', () => {
  it.each([
    ['ap', ['apply']],
    ['', ['apply', 'get', 'describe', 'delete', 'proxy-config', 'help']],
    ['get virtuals', ['virtualservices']],
    ['get vs,destinationr', ['vs,destinationrules']],
    ['get vs -o n', ['name']],
    ['get --al', ['--all-namespaces']],
    ['get -n shop virtuals', ['virtualservices']],
    ['apply -f ', [':files']],
    ['apply -f a.yaml ', [':files']],
    ['proxy-config rou', ['routes']],
    ['get --watch virtuals', ['virtualservices']],
  ])('tulle %s', async (line, expected) => {
    expect(await candidates(program, line.split(' '))).toEqual(expected);
  });
});

const hasBash = existsSync('/bin/bash');
if (!hasBash) console.warn('skipped: completion in bash, which is not installed');

describe('scripts', () => {
  it('refuses an unknown shell', () => {
    expect(() => completionScript('csh')).toThrow('completion csh: must be one of bash, zsh, fish');
  });

  it.skipIf(!hasBash)('bash shows the candidates, and leaves files to the shell', () => {
    const script = join(folder.path, 'completion.bash');
    writeFileSync(script, completionScript('bash'));
    const complete = (words: string, answer: string) =>
      outputOf('/bin/bash', [
        '-c',
        `tulle() { echo "$*" >&2; printf '${answer}'; }; source ${script}; COMP_WORDS=(tulle ${words}); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _tulle; echo "\${COMPREPLY[@]}"`,
      ]);
    expect(complete('get virtuals', 'virtualservices\\n')).toBe('virtualservices\n');
    expect(complete('get ""', 'a\\nb\\n')).toBe('a b\n');
    expect(complete('apply -f x', ':files\\n')).toBe('\n');
  });
});
