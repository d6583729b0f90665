/* The program of the benchmark's container: what takes time is everything around it. */
int main(void)
{
	return 0;
}
