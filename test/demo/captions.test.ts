/** Which captions are evaluated. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { BACKGROUNDS, COLOURS, MOTIONS, SHAPES } from '../../lib/demo/vocabulary.ts';
import { caption, HELD_OUT_FILE, selectTasks } from '../../scripts/eval-demo/captions.ts';
import { SETS } from '../../scripts/eval-demo/sets.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const SCRIPT = fileURLToPath(new URL('../../scripts/demo/write_held_out.py', import.meta.url));

describe('the captions of the evaluation', () => {
  const python = process.env.ANIMATEDIFF_PYTHON || 'python3';
  const skip = spawnSync(python, ['--version']).status !== 0 && 'no Python';
  it('are those that training leaves out (else: python scripts/demo/write_held_out.py)', { skip }, () => {
    const written = path.join(mkdtempSync(path.join(temporaryFolder(), 'captions-')), 'held-out.json');
    execFileSync(python, [SCRIPT, written]);
    assert.equal(readFileSync(written, 'utf8'), readFileSync(HELD_OUT_FILE, 'utf8'));
  });

  it('have the plainest wording', () => {
    const scene = { colour: 'orange', shape: 'moon', motion: 'moving up', background: 'sea' };
    assert.equal(caption(scene), 'an orange moon moving up over the sea');
  });

  for (const { name, clips, backgrounds = Object.keys(BACKGROUNDS) } of SETS) {
    it(`are all different and cover every word evenly: ${name}`, () => {
      const tasks = selectTasks(clips, backgrounds);
      assert.equal(new Set(tasks.map(caption)).size, clips);
      assert.equal(new Set(tasks.map(({ seed }) => seed)).size, clips);
      const words = {
        colour: Object.keys(COLOURS),
        shape: Object.keys(SHAPES),
        motion: Object.keys(MOTIONS),
        background: backgrounds,
      };
      for (const [kind, names] of Object.entries(words)) {
        const counts = names.map((word) => tasks.filter((task) => Object.values(task).includes(word)).length);
        const fair = clips / names.length;
        assert.ok(Math.min(...counts) >= 0.6 * fair, `${kind}: ${counts}`);
        assert.ok(Math.max(...counts) <= 1.5 * fair, `${kind}: ${counts}`);
      }
    });
  }
});
