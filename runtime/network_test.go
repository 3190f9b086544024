package main

import (
	"testing"
)

func TestUnlockScriptUndoesWhatThereIs(t *testing.T) {
	for rules, want := range map[string]string{
		"*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -s 10.0.0.1 -j DROP\nCOMMIT\n": "",
		"": "",
		":CRIU - [0:0]\n-A INPUT -j CRIU\n-A INPUT -j OTHER\n-A OUTPUT -j CRIU\n-A CRIU -m mark --mark 0xc114 -j ACCEPT\n-A CRIU -j DROP\n": "*filter\n-D INPUT -j CRIU\n-D OUTPUT -j CRIU\n-F CRIU\n-X CRIU\nCOMMIT\n",
		":CRIU - [0:0]\n-A INPUT -j CRIU\n-A INPUT -j CRIU\n":                                                                               "*filter\n-D INPUT -j CRIU\n-D INPUT -j CRIU\n-F CRIU\n-X CRIU\nCOMMIT\n",
		":CRIU - [0:0]\n": "*filter\n-F CRIU\n-X CRIU\nCOMMIT\n",
	} {
		if got := unlockScript(rules); got != want {
			t.Errorf("%q: %q", rules, got)
		}
	}
}

func TestNetworkThatIsGoneNeedsNoUnlocking(t *testing.T) {
	if err := unlockNetwork(within(t, 1e9), "/nowhere/net"); err != nil {
		t.Fatal(err)
	}
	if err := unlockNetwork(within(t, 1e9), ""); err != nil {
		t.Fatal(err)
	}
}

func TestNetworkOfIsThePods(t *testing.T) {
	if got := networkOf(specOf(t, fitting)); got != "/proc/1/ns/net" {
		t.Fatal(got)
	}
	if got := networkOf(specOf(t, `{"linux": {"namespaces": [{"type": "network"}]}}`)); got != "" {
		t.Fatal(got)
	}
}
