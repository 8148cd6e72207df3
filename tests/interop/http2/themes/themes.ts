/** What is compared, one file a theme. */
import type { Theme } from '../case.ts';
import { connectTheme } from './theme-connects.ts';
import { forwarded } from './theme-forwarded.ts';
import { frames } from './theme-frames.ts';
import { heads } from './theme-heads.ts';
import { limits } from './theme-limits.ts';
import { localReplies } from './theme-local-replies.ts';
import { resets } from './theme-resets.ts';
import { responses } from './theme-responses.ts';

export const THEMES: readonly Theme[] = [
  heads,
  frames,
  responses,
  resets,
  forwarded,
  localReplies,
  connectTheme,
  limits,
];
