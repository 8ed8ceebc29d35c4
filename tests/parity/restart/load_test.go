// SPDX-License-Identifier: Apache-2.0

package restart

import (
	"errors"
	"fmt"
	"math/rand/v2"
)

// driver does one thing after the other with containers of its own.
type driver struct {
	*world
	name       string
	random     *rand.Rand
	containers []*container
	gone       []*container // their events may still be on their way
	made       int
	failed     error
}

const maxContainers = 4

// run goes on until the daemon is killed.
func (d *driver) run() {
	for d.failed == nil {
		err := d.step()
		if errors.Is(err, errCut) {
			return
		}
		d.failed = err
		counters.steps.Add(1)
	}
}

func (d *driver) step() error {
	if len(d.containers) == 0 || len(d.containers) < maxContainers && d.random.IntN(3) == 0 {
		d.made++
		c := d.newContainer(fmt.Sprintf("%s-%d", d.name, d.made), d.random)
		d.containers = append(d.containers, c)
		return c.create()
	}
	i := d.random.IntN(len(d.containers))
	c := d.containers[i]
	if c.init.deleted == yes {
		if err := c.forget(); err != nil {
			return err
		}
		d.containers = append(d.containers[:i], d.containers[i+1:]...)
		d.gone = append(d.gone, c)
		return nil
	}
	return c.step()
}

// step does something that makes sense with the container as it is.
func (c *container) step() error {
	switch {
	case c.init.halfDeleted:
		return c.kill(c.init)
	case c.init.mayHaveEnded() && !(c.init.doubt && c.init.started == no):
		return c.stepEnded()
	case c.init.started == no:
		switch c.random.IntN(8) {
		case 0:
			return c.delete(c.init)
		case 1:
			return c.exec()
		}
		return c.start(c.init)
	case c.paused == yes:
		return c.resume()
	}
	switch c.random.IntN(10) {
	case 0:
		return c.pause()
	case 1:
		return c.kill(c.init)
	case 2, 3, 4:
		return c.end(c.init)
	case 5:
		return c.stats()
	}
	return c.exec()
}

// stepEnded: init has ended, or is about to.
func (c *container) stepEnded() error {
	if c.init.doubt {
		return c.kill(c.init)
	}
	for i, p := range c.execs {
		if p.started == yes && p.deleted == no && c.random.IntN(2) == 0 {
			if err := c.wait(p); err != nil {
				return err
			}
			if err := c.delete(p); err != nil {
				return err
			}
			c.retire(i)
			return nil
		}
	}
	if err := c.wait(c.init); err != nil {
		return err
	}
	return c.delete(c.init)
}

// retire takes an exec out that was deleted.
func (c *container) retire(i int) {
	c.goneExecs = append(c.goneExecs, c.execs[i])
	c.execs = append(c.execs[:i], c.execs[i+1:]...)
}

// exec does something with an exec.
func (c *container) exec() error {
	if len(c.execs) == 0 || len(c.execs) < maxExecs && c.random.IntN(2) == 0 {
		_, err := c.addExec()
		return err
	}
	i := c.random.IntN(len(c.execs))
	p := c.execs[i]
	switch {
	case p.started == no && c.random.IntN(4) == 0:
		err := c.delete(p)
		if err == nil {
			c.retire(i)
		}
		return err
	case p.started == no:
		return c.start(p)
	case p.doubt, !p.mayHaveEnded() && c.random.IntN(3) == 0:
		return c.kill(p)
	case !p.mayHaveEnded():
		return c.end(p)
	}
	if err := c.wait(p); err != nil {
		return err
	}
	err := c.delete(p)
	if err == nil {
		c.retire(i)
	}
	return err
}
